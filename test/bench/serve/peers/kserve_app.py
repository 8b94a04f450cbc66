# KServe's Python server with a model of our own.
import kserve
from kserve import InferOutput, InferRequest, InferResponse

from worker import PORT, open_session


class Onnx(kserve.Model):
    def __init__(self):
        super().__init__('bench')
        self.load()

    def load(self):
        self.session = open_session()
        self.ready = True
        return True

    def predict(self, payload: InferRequest, headers=None, response_headers=None):
        (y,) = self.session.run(None, {'x': payload.inputs[0].as_numpy()})
        output = InferOutput('y', list(y.shape), 'FP32')
        output.set_data_from_numpy(y, binary_data=payload.from_grpc or bool(payload.parameters))
        return InferResponse(payload.id or 'bench', 'bench', [output])


if __name__ == '__main__':
    kserve.ModelServer(http_port=PORT, grpc_port=PORT + 1, enable_grpc=False, enable_docs_url=False, access_log_format=None).start([Onnx()])
