"""The peers' side of `npm run bench:compress`: peers.py PEER RECIPE MODEL BATCHES OUT.

Prints {seconds, work, bytes, version}: processor time of the process and of its children, less that of reading the
bench's own batches; that of reading, rewriting and writing alone; peak memory.
"""

import base64
import contextlib
import json
import logging
import resource
import sys

import numpy
import onnx

logging.disable(logging.WARNING)
peer, recipe, path, batches, out = sys.argv[1:]


def decode(array):
    if array["dtype"] == "string":
        return numpy.array(array["data"], dtype=object).reshape(array["dims"])
    return numpy.frombuffer(base64.b64decode(array["data"]), dtype=array["dtype"]).reshape(array["dims"])


def spent():
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


opened = spent()
with open(batches) as file:
    feeds = [{name: decode(array) for name, array in batch.items()} for batch in json.load(file)]
reading = spent() - opened
note = None


class Reader:
    """What all of them read calibration data through."""

    def __init__(self):
        self.rewind()

    def rewind(self):
        self.rest = iter(feeds)

    def get_next(self):
        return next(self.rest, None)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.rest)


def with_onnxruntime():
    import onnxruntime
    from onnxruntime import quantization as q

    class OrtReader(Reader, q.CalibrationDataReader):
        pass

    def run():
        if recipe == "static int8":
            q.quantize_static(path, out, OrtReader(), quant_format=q.QuantFormat.QDQ, per_channel=True,
                              activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8)
        elif recipe == "dynamic int8":
            q.quantize_dynamic(path, out, per_channel=True, weight_type=q.QuantType.QInt8)
        else:
            from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

            tool = MatMulNBitsQuantizer(onnx.load(path), block_size=32, is_symmetric=True, accuracy_level=4)
            tool.process()
            tool.model.save_model_to_file(out)

    return onnxruntime.__version__, run


def with_inc():
    import onnx_neural_compressor.version
    from onnx_neural_compressor.quantization import config, quantize

    def run():
        if recipe == "static int8":
            from onnxruntime import quantization as q

            choice = config.StaticQuantConfig(calibration_data_reader=Reader(), per_channel=True,
                                              quant_format=q.QuantFormat.QDQ)
        elif recipe == "dynamic int8":
            choice = config.DynamicQuantConfig(per_channel=True)
        else:
            from onnx_neural_compressor.quantization import algorithm_entry

            choice = config.GPTQConfig(weight_bits=4, weight_group_size=32, weight_sym=True, accuracy_level=4)
            onnx.save(algorithm_entry.gptq_quantize_entry(path, choice, Reader()), out)
            return
        quantize(path, out, choice)

    return onnx_neural_compressor.version.__version__, run


def with_olive():
    import olive
    from olive.model import ONNXModelHandler
    from olive.exception import OlivePassError
    from olive.passes import olive_pass
    from olive.passes.onnx.hqq_quantization import OnnxHqqQuantization
    from olive.passes.onnx.quantization import OnnxDynamicQuantization, OnnxStaticQuantization

    def run():
        if recipe == "static int8":
            from olive.data.config import DataConfig
            from olive.data.registry import Registry

            class Rows:
                def __len__(self):
                    return len(feeds)

                def __getitem__(self, at):
                    return feeds[at], 0

            Registry.register_dataset("bench_rows")(lambda data_dir=None, **_: Rows())
            Registry.register_dataloader("bench_loader")(lambda dataset, **_: [(batch, 0) for batch in feeds])
            data = DataConfig(name="rows", load_dataset_config={"type": "bench_rows"},
                              pre_process_data_config={"type": "skip_pre_process"},
                              post_process_data_config={"type": "skip_post_process"},
                              dataloader_config={"type": "bench_loader"})
            kind = OnnxStaticQuantization
            options = {"data_config": data, "quant_format": "QDQ", "per_channel": True, "activation_type": "uint8",
                       "weight_type": "int8"}
        elif recipe == "dynamic int8":
            kind, options = OnnxDynamicQuantization, {"per_channel": True}
        else:
            kind, options = OnnxHqqQuantization, {"block_size": 32}

        def make(more):
            step = olive_pass.create_pass_from_dict(kind, {**options, **more}, disable_search=True)
            return step.run(ONNXModelHandler(path), out.removesuffix(".onnx"))

        try:
            made = make({})
        except OlivePassError as error:
            # What its own preprocessing makes of some models onnxruntime.quantization cannot take.
            global note
            note = f"only with quant_preprocess: false ({error.__cause__ or error})"[:160]
            made = make({"quant_preprocess": False})
        onnx.save(onnx.load(made.model_path), out)

    return olive.__version__, run


version, run = {"onnxruntime": with_onnxruntime, "inc": with_inc, "olive": with_olive}[peer]()
with contextlib.redirect_stdout(sys.stderr):
    started = spent()
    run()
    seconds = spent()
# The maximum that getrusage tells begins with what the bench itself held when it started this process.
with open("/proc/self/status") as file:
    peak = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))
result = {"seconds": seconds - reading, "work": seconds - started, "bytes": peak, "version": version}
print(json.dumps({**result, **({"note": note} if note else {})}))
