# FastAPI on uvicorn (uvloop, httptools), orjson, onnxruntime in a thread: what people write by hand.
import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import numpy
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response

from worker import DTYPES, PORT, answer, open_session, read

session = open_session()
pool = ThreadPoolExecutor(1)
app = FastAPI()


@app.post('/v2/models/bench/infer')
async def infer(request: Request):
    body = await request.body()
    size = request.headers.get('inference-header-content-length')
    if size is None:
        x = read(orjson.loads(body)['inputs'][0])
    else:
        tensor = orjson.loads(body[: int(size)])['inputs'][0]
        x = numpy.frombuffer(body, DTYPES[tensor['datatype']], offset=int(size)).reshape(tensor['shape'])
    loop = asyncio.get_running_loop()
    (y,) = await loop.run_in_executor(pool, lambda: session.run(None, {'x': x}))
    if size is None:
        return Response(orjson.dumps(answer(y)), media_type='application/json')
    output = {'name': 'y', 'datatype': 'FP32', 'shape': list(y.shape), 'parameters': {'binary_data_size': y.nbytes}}
    head = json.dumps({'model_name': 'bench', 'outputs': [output]}).encode()
    headers = {'inference-header-content-length': str(len(head))}
    return Response(head + y.tobytes(), media_type='application/octet-stream', headers=headers)


uvicorn.run(app, host='127.0.0.1', port=PORT, log_level='warning', access_log=False)
