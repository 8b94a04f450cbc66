# BentoML with its adaptive batching. Rows arrive one request at a time; its route takes the arrays, not the protocol.
from __future__ import annotations

import bentoml
import numpy

from worker import answer, open_session, read


@bentoml.service(traffic={'timeout': 60, 'max_concurrency': 1024}, http={'host': '127.0.0.1'}, logging={'access': {'enabled': False}})
class Bench:
    def __init__(self):
        self.session = open_session()

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000, route='/batch')
    def run(self, inputs: list[dict]) -> list[dict]:
        arrays = [read(tensor) for tensor in inputs]
        (y,) = self.session.run(None, {'x': numpy.concatenate(arrays)})
        return [answer(part) for part in numpy.split(y, numpy.cumsum([len(x) for x in arrays])[:-1])]
