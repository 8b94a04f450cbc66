# MLServer with a runtime of our model and its adaptive batching.
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from worker import open_session


class Onnx(MLModel):
    async def load(self) -> bool:
        self.session = open_session()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        x = NumpyCodec.decode_input(payload.inputs[0])
        (y,) = self.session.run(None, {'x': x})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output('y', y)])
