"""Asks a server what the official client of Triton asks, over HTTP and gRPC: triton_client.py HOST:PORT HOST:PORT"""

import queue
import sys

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

NUMBERS = {
    "BOOL": np.array([[True, False]]),
    "UINT8": np.array([[0, 255]], np.uint8),
    "UINT16": np.array([[0, 65535]], np.uint16),
    "UINT32": np.array([[0, 2**32 - 1]], np.uint32),
    "UINT64": np.array([[0, 2**64 - 1]], np.uint64),
    "INT8": np.array([[-128, 127]], np.int8),
    "INT16": np.array([[-(2**15), 2**15 - 1]], np.int16),
    "INT32": np.array([[-(2**31), 2**31 - 1]], np.int32),
    "INT64": np.array([[-(2**63), 2**63 - 1]], np.int64),
    "FP16": np.array([[0.5, -65504]], np.float16),
    "FP32": np.array([[0.1, -3e38]], np.float32),
    "FP64": np.array([[0.1, -1e308]], np.float64),
    "BYTES": np.array([["ß 🐈", ""]], np.object_),
}
ONLY_BINARY = {"FP16"}


def refused(ask, status, words):
    try:
        ask()
    except InferenceServerException as error:
        assert error.status() == status, f"status {error.status()}, wanted {status}: {error}"
        assert words in error.message(), f"{words!r} is not in {error.message()!r}"
    else:
        raise AssertionError(f"it was not refused: {words}")


def texts(array):
    return [[each.decode() if isinstance(each, bytes) else each for each in row] for row in array]


def same(name, got, sent):
    if name == "BYTES":
        assert texts(got) == texts(sent), f"{got} for {sent}"
    else:
        assert got.dtype == sent.dtype and np.array_equal(got, sent), f"{name}: {got} for {sent}"


def make_input(module, name, array, **how):
    made = module.InferInput(name, list(array.shape), name)
    made.set_data_from_numpy(array, **how)
    return made


def common(client, module, is_http):
    """What the two clients have in common."""
    wrong = "400" if is_http else "StatusCode.INVALID_ARGUMENT"
    missing = "404" if is_http else "StatusCode.NOT_FOUND"
    as_json = {} if is_http else {"as_json": True}
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("echo") and client.is_model_ready("echo", "1")
    if is_http:
        assert not client.is_model_ready("nothing")
    else:
        refused(lambda: client.is_model_ready("nothing"), missing, "there is no model nothing")
    server = client.get_server_metadata(**as_json)
    assert server["name"] == "maas" and "model_repository" in server["extensions"]
    model = client.get_model_metadata("echo", **as_json)
    assert model["name"] == "echo" and model["versions"] == ["1"] and model["platform"] == "onnx_onnxv1"
    assert {port["datatype"] for port in model["inputs"]} == set(NUMBERS), model
    assert all(int(port["shape"][0]) == -1 and int(port["shape"][1]) == 2 for port in model["inputs"])
    refused(lambda: client.get_model_metadata("nothing"), missing, "there is no model nothing")

    binary = [make_input(module, name, array) for name, array in NUMBERS.items()]
    result = client.infer("echo", binary, request_id="seven")
    answer = result.get_response()
    assert (answer["id"] if is_http else answer.id) == "seven"
    for name, array in NUMBERS.items():
        same(name, result.as_numpy(f"{name}_out"), array)

    asked = [module.InferRequestedOutput("INT64_out"), module.InferRequestedOutput("BYTES_out")]
    result = client.infer("echo", binary, outputs=asked, priority=2, timeout=5_000_000)
    same("INT64", result.as_numpy("INT64_out"), NUMBERS["INT64"])
    assert result.as_numpy("FP32_out") is None

    refused(lambda: client.infer("nothing", binary), missing, "there is no model nothing")
    refused(lambda: client.infer("echo", binary, model_version="9"), missing, "version 9")
    refused(lambda: client.infer("echo", binary[1:]), wrong, "input BOOL is missing")
    wide = np.zeros((1, 3), np.float32)
    broken = [*(each for each in binary if each.name() != "FP32"), make_input(module, "FP32", wide)]
    refused(lambda: client.infer("echo", broken), wrong, "shape must be [-1, 2]")
    unknown = [module.InferRequestedOutput("other")]
    refused(lambda: client.infer("echo", binary, outputs=unknown), wrong, "no output other")
    classes = [module.InferRequestedOutput("FP32_out", class_count=2)]
    refused(lambda: client.infer("echo", binary, outputs=classes), wrong, "classification")
    shared = module.InferInput("FP32", [1, 2], "FP32")
    shared.set_shared_memory("region", 8)
    others = [each for each in binary if each.name() != "FP32"]
    refused(lambda: client.infer("echo", [*others, shared]), wrong, "shared memory")
    written = module.InferRequestedOutput("FP32_out")
    written.set_shared_memory("region", 8)
    refused(lambda: client.infer("echo", binary, outputs=[written]), wrong, "shared memory")
    refused(
        lambda: client.infer("echo", binary, sequence_id=7, sequence_start=True), wrong, "sequence"
    )

    index = client.get_model_repository_index(**as_json)
    listed = index if is_http else index["models"]
    assert {each["name"] for each in listed} >= {"echo", "double"}, listed
    client.unload_model("double")
    if is_http:
        assert not client.is_model_ready("double")
    else:
        refused(lambda: client.is_model_ready("double"), missing, "double")
    client.load_model("double")
    assert client.is_model_ready("double")
    refused(lambda: client.load_model("nothing"), missing, "nothing")
    refused(lambda: client.load_model("double", config="{}"), wrong, "config")


def over_http(url):
    client = tritonclient.http.InferenceServerClient(url, concurrency=4)
    common(client, tritonclient.http, True)
    config = client.get_model_config("echo")
    assert config["name"] == "echo" and config["max_batch_size"] == 0, config
    kinds = {port["name"]: port["data_type"] for port in config["input"]}
    assert kinds["FP32"] == "TYPE_FP32" and kinds["BYTES"] == "TYPE_STRING", kinds
    as_json = [
        make_input(tritonclient.http, name, array, binary_data=name in ONLY_BINARY)
        for name, array in NUMBERS.items()
    ]
    asked = [
        tritonclient.http.InferRequestedOutput(f"{name}_out", binary_data=name in ONLY_BINARY)
        for name in NUMBERS
    ]
    for packed in (None, "gzip", "deflate"):
        result = client.infer(
            "echo",
            as_json,
            outputs=asked,
            request_compression_algorithm=packed,
            response_compression_algorithm=packed,
        )
        for name, array in NUMBERS.items():
            same(name, result.as_numpy(f"{name}_out"), array)
    under_way = [client.async_infer("echo", as_json, outputs=asked) for _ in range(32)]
    for each in under_way:
        same("INT64", each.get_result().as_numpy("INT64_out"), NUMBERS["INT64"])
    for ask in (
        client.get_inference_statistics,
        client.get_trace_settings,
        client.get_log_settings,
        client.get_system_shared_memory_status,
    ):
        refused(ask, "404", "")
    client.close()


def over_grpc(url):
    client = tritonclient.grpc.InferenceServerClient(url)
    common(client, tritonclient.grpc, False)
    config = client.get_model_config("echo", as_json=True)["config"]
    assert config["name"] == "echo", config
    kinds = {port["name"]: port["data_type"] for port in config["input"]}
    assert kinds["FP32"] == "TYPE_FP32" and kinds["BYTES"] == "TYPE_STRING", kinds
    for ask in (
        client.get_inference_statistics,
        client.get_trace_settings,
        client.get_log_settings,
        client.get_system_shared_memory_status,
    ):
        refused(ask, "StatusCode.UNIMPLEMENTED", "")
    inputs = [make_input(tritonclient.grpc, name, array) for name, array in NUMBERS.items()]
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for at in range(8):
        client.async_stream_infer("echo", inputs, request_id=str(at))
    client.async_stream_infer("nothing", inputs)
    ids, errors = set(), []
    for _ in range(9):
        result, error = answers.get(timeout=30)
        if error is None:
            same("FP64", result.as_numpy("FP64_out"), NUMBERS["FP64"])
            ids.add(result.get_response().id)
        else:
            errors.append(error.message())
    client.stop_stream()
    assert ids == {str(at) for at in range(8)} and len(errors) == 1, (ids, errors)
    assert "there is no model nothing" in errors[0]
    client.close()


over_http(sys.argv[1])
over_grpc(sys.argv[2])
print("done")
