# LitServe with its dynamic batching.
import os

import litserve
import numpy

from worker import PORT, answer, open_session, read


class Api(litserve.LitAPI):
    def setup(self, device):
        self.session = open_session()

    def decode_request(self, request):
        return read(request['inputs'][0])

    def batch(self, inputs):
        self.sizes = [len(x) for x in inputs]
        return numpy.concatenate(inputs)

    def predict(self, x):
        return self.session.run(None, {'x': x})[0]

    def unbatch(self, output):
        return numpy.split(output, numpy.cumsum(self.sizes)[:-1])

    def encode_response(self, output):
        return answer(output)


if __name__ == '__main__':
    api = Api(max_batch_size=64, batch_timeout=0.001, api_path='/v2/models/bench/infer')
    server = litserve.LitServer(api, accelerator='cpu', workers_per_device=int(os.environ['WORKERS']))
    server.run(host='127.0.0.1', port=PORT, generate_client_file=False, log_level='warning', access_log=False)
