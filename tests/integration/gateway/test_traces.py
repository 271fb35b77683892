"""The running command sends the spans of what clients sample to the collector that is named."""

import asyncio
import gzip
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread
from typing import Final

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from analytics.contracts import traces
from tests.support.broker import RunningBroker
from tests.support.gateway import KEY
from tests.support.publisher_kafka import landed

TRACE_ID: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENT_SPAN: Final = "00f067aa0ba902b7"
EVENT: Final = {"type": "session.started", "id": "t1", "session_id": "traced-1", "at_ms": 1}


@contextmanager
def _collector() -> Iterator[tuple[str, "Queue[ExportTraceServiceRequest]"]]:
    """Take spans as a collector does; give the address and what came."""
    came: Queue[ExportTraceServiceRequest] = Queue()

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            came.put(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/traces", came
        finally:
            server.shutdown()
            thread.join()


def _spans(came: "Queue[ExportTraceServiceRequest]") -> Iterator[Span]:
    while not came.empty():
        for resource in came.get().resource_spans:
            for scope in resource.scope_spans:
                yield from scope.spans


@pytest.mark.embedded
@pytest.mark.requirement("gateway-traces")
async def test_a_sampled_message_of_a_client_shows_at_the_collector_and_in_the_log(
    tansu: RunningBroker, bearer: str
) -> None:
    with _collector() as (collector, came):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "apps.cli.main", "gateway", "--port", "0", "--json",
            env={
                **os.environ,
                "MAINSTEM_GATEWAY_TOKEN_KEY": KEY.decode(),
                "MAINSTEM_GATEWAY_BROKER": tansu.address,
                "MAINSTEM_GATEWAY_PARTITIONS": "4",
                "MAINSTEM_TRACES_ENDPOINT": collector,
            },
            stdout=PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            url = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))["url"]
            headers = {
                "Authorization": f"Bearer {bearer}",
                "traceparent": f"00-{TRACE_ID}-{CLIENT_SPAN}-01",
            }
            async with httpx.AsyncClient(headers=headers) as http, asyncio.timeout(60):
                while (await http.get(url + "/health/ready")).status_code != 200:
                    pass
                answer = await http.post(url + "/v1/events", json=EVENT)
            process.send_signal(signal.SIGTERM)
            code = await asyncio.wait_for(process.wait(), 60)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        [span] = list(_spans(came))

    [record] = [one for one in await landed(tansu.address) if one.key == b"traced-1"]
    assert answer.status_code == 200
    assert code == 0
    assert span.name == "publish"
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE_ID, CLIENT_SPAN)
    named = dict(record.headers)[traces.HEADER].decode()
    assert named == f"00-{TRACE_ID}-{span.span_id.hex()}-01"
