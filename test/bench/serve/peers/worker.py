# What every peer shares: onnxruntime as its own documentation sets it up, and the Open Inference Protocol's JSON.
import os

import numpy
import onnxruntime

PATH = os.environ['MODEL_PATH']
PORT = int(os.environ['PORT'])
DTYPES = {'FP32': numpy.float32, 'INT64': numpy.int64}


def open_session():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ['THREADS'])
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    return onnxruntime.InferenceSession(PATH, options, providers=['CPUExecutionProvider'])


def read(tensor):
    return numpy.array(tensor['data'], DTYPES[tensor['datatype']]).reshape(tensor['shape'])


def answer(array):
    output = {'name': 'y', 'datatype': 'FP32', 'shape': list(array.shape), 'data': array.ravel().tolist()}
    return {'model_name': 'bench', 'outputs': [output]}
