"""Reads a body of OTLP in JSON by the official messages, and prints what it says: read_otlp.py FILE"""

import base64
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def to_base64(span):
    """OTLP writes ids in hexadecimal where the JSON of Protocol Buffers has base64."""
    for name in ("traceId", "spanId", "parentSpanId"):
        if name in span:
            span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()


with open(sys.argv[1], encoding="utf-8") as file:
    body = json.load(file)
for resource in body["resourceSpans"]:
    for scope in resource["scopeSpans"]:
        for span in scope["spans"]:
            to_base64(span)
# Refuses fields that there are none of, and values of another type.
request = json_format.Parse(json.dumps(body), ExportTraceServiceRequest())
for resource in request.resource_spans:
    service = [each.value.string_value for each in resource.resource.attributes if each.key == "service.name"]
    for scope in resource.scope_spans:
        for span in scope.spans:
            assert len(span.trace_id) == 16 and len(span.span_id) == 8, span
            assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano, span
            print(*service, span.trace_id.hex(), Span.SpanKind.Name(span.kind), span.name)
