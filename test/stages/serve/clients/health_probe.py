"""Asks for health as the official probe of gRPC does: health_probe.py HOST:PORT"""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "inference.GRPCInferenceService"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, answer
    first = next(iter(stub.Watch(health_pb2.HealthCheckRequest(service=""), timeout=10)))
    assert first.status == health_pb2.HealthCheckResponse.SERVING, first
    try:
        stub.Check(health_pb2.HealthCheckRequest(service="nothing"), timeout=10)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
    else:
        raise AssertionError("a service that there is not is healthy")
print("done")
