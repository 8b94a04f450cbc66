"""Asks a server what KServe's own client asks: kserve_client.py HOST:PORT HOST:PORT"""

import asyncio
import sys

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

ARRAYS = {
    "FP32": np.array([[0.5, -2.25], [1, 3]], np.float32),
    "INT64": np.array([[2**53 + 1, -1], [0, -(2**63)]], np.int64),
    "BYTES": np.array([[b"\xc3\x9f", b""], [b"a", b"b"]], np.object_),
    "FP16": np.array([[0.5, -2], [1, 3]], np.float16),
}


def request(model, binary, names):
    inputs = []
    for name in names:
        made = InferInput(name, list(ARRAYS[name].shape), name)
        made.set_data_from_numpy(ARRAYS[name], binary_data=binary)
        inputs.append(made)
    return InferRequest(model_name=model, infer_inputs=inputs, request_id="seven")


def check(answer, names):
    assert answer.model_name == "some" and answer.id == "seven", answer
    for output in answer.outputs:
        name = output.name.removesuffix("_out")
        got, sent = output.as_numpy(), ARRAYS[name]
        if name == "BYTES":
            got = np.array([[t.encode() if isinstance(t, str) else bytes(t) for t in row] for row in got])
            sent = np.array(sent.tolist())
        assert got.shape == sent.shape and np.array_equal(got, sent), f"{name}: {got} for {sent}"
    assert len(answer.outputs) == len(ARRAYS) or set(names) != set(ARRAYS)


async def over_rest(address):
    url = f"http://{address}"
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        assert await client.is_server_live(url) and await client.is_server_ready(url)
        assert await client.is_model_ready(url, "some")
        assert not await client.is_model_ready(url, "nothing")
        check(await client.infer(url, request("some", True, ARRAYS), model_name="some"), ARRAYS)
        try:
            await client.infer(url, request("some", True, ["FP32"]), model_name="some")
        except httpx.HTTPStatusError as error:
            assert error.response.status_code == 400 and "input INT64 is missing" in str(error), error
        else:
            raise AssertionError("a request without an input was not refused")
        data = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
        answer = await client.infer(url, data, model_name="double")
        assert answer.outputs[0].as_numpy().tolist() == [[2, 4], [6, 8]]
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        answer = await client.infer(url, {"instances": [[1, 2], [3, 4]]}, model_name="double")
        assert answer == {"predictions": [[2, 4], [6, 8]]}, answer


async def over_grpc(address):
    async with InferenceGRPCClient(address) as client:
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready("some")
        try:
            await client.is_model_ready("nothing")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error
        else:
            raise AssertionError("a model that there is not was not refused")
        for binary in (True, False):
            names = ARRAYS if binary else ["FP32", "INT64", "BYTES"]
            model = "some" if binary else "few"
            answer = await client.infer(request(model, binary, names))
            if binary:
                check(answer, names)
            else:
                assert answer.outputs[0].as_numpy().tolist() == ARRAYS["FP32"].tolist(), answer
        try:
            await client.infer(request("nothing", True, ARRAYS))
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error
        else:
            raise AssertionError("a model that there is not was not refused")


asyncio.run(over_rest(sys.argv[1]))
asyncio.run(over_grpc(sys.argv[2]))
print("done")
