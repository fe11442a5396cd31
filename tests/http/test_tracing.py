"""Traces as a collector gets them: which spans there are, how they hang together, and what is never in them."""

from __future__ import annotations

import http.client
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests import by_hand

from cpmqr import testing
from cpmqr.errors import ConfigError
from cpmqr.server.settings import load

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SAMPLED, NOT_SAMPLED = f"00-{TRACE_ID}-b7ad6b7169203331-01", f"00-{TRACE_ID}-b7ad6b7169203331-00"
AT_ONCE = 24


class Collector(http.server.ThreadingHTTPServer):
    """Takes OTLP over HTTP, as any collector does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taker)
        self.bodies: list[bytes] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/traces"

    def spans(self) -> list[Span]:
        told = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span
            for each in told
            for resource in each.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class _Taker(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(gateway: testing.TestGateway, traceparent: str = SAMPLED, **wishes: str) -> dict[str, str]:
    wallet = by_hand.Wallet.from_file(gateway.sandbox_file)
    headers = {
        "Authorization": wallet.authorization,
        "Content-Type": "application/json",
        "traceparent": traceparent,
    }
    connection = http.client.HTTPConnection(urlsplit(gateway.base_url).netloc, timeout=10)
    try:
        connection.request("POST", by_hand.PATH, by_hand.body_of(wallet.signed(**wishes)), headers)
        return by_hand.response_of(connection.getresponse().read())
    finally:
        connection.close()


def attributes(span: Span) -> dict[str, object]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in span.attributes}


def test_a_request_and_its_transaction_are_spans_of_the_callers_trace(collector: Collector) -> None:
    with testing.gateway(tracing__endpoint=collector.endpoint, tracing__service_name="tokens") as gateway:
        response = ask(gateway, trace_no="T-of-a-wallet")
    request, batch = sorted(collector.spans(), key=lambda span: span.name)
    assert request.trace_id.hex() == batch.trace_id.hex() == TRACE_ID
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    assert batch.parent_span_id == request.span_id
    assert (request.name, batch.name) == (f"POST {by_hand.PATH}", "store batch")
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": by_hand.PATH,
        "http.response.status_code": 200,
        "cpmqr.rslt_cd": "0000",
        "cpmqr.requestor_id": "42000000066",
        "cpmqr.repeated": False,
    }
    assert attributes(batch) == {"cpmqr.batch_size": 1}
    everything = b"".join(collector.bodies)
    assert b"tokens" in everything
    for secret in (b"T-of-a-wallet", response["CPMQR_DATA"].encode(), b"5350206900000066", b"Authorization"):
        assert secret not in everything


def test_a_refusal_carries_its_code_and_nothing_that_the_sender_wrote(collector: Collector) -> None:
    with testing.gateway(tracing__endpoint=collector.endpoint) as gateway:
        assert ask(gateway, REQUESTOR_ID="53502069000")["RSLT_CD"] == "2002"
    (request,) = collector.spans()
    assert attributes(request)["cpmqr.rslt_cd"] == "2002"
    assert b"53502069000" not in b"".join(collector.bodies)


def test_requests_of_one_transaction_are_linked_with_it(collector: Collector) -> None:
    with (
        testing.gateway(tracing__endpoint=collector.endpoint) as gateway,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        answers = list(pool.map(lambda _: ask(gateway)["RSLT_CD"], range(AT_ONCE)))
    assert answers == ["0000"] * AT_ONCE
    spans = collector.spans()
    requests = {span.span_id for span in spans if span.name != "store batch"}
    batches = [span for span in spans if span.name == "store batch"]
    carried = [span.parent_span_id for span in batches] + [
        link.span_id for span in batches for link in span.links
    ]
    assert len(requests) == AT_ONCE
    assert sorted(carried) == sorted(requests)
    assert sum(int(str(attributes(span)["cpmqr.batch_size"])) for span in batches) == AT_ONCE


def test_what_the_caller_does_not_trace_is_not_traced_here(collector: Collector) -> None:
    with testing.gateway(tracing__endpoint=collector.endpoint, tracing__sample=1.0) as gateway:
        assert ask(gateway, NOT_SAMPLED)["RSLT_CD"] == "0000"
        connection = http.client.HTTPConnection(urlsplit(gateway.base_url).netloc, timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
    assert collector.spans() == []


def test_the_calls_of_v1_are_traced_without_what_their_paths_hold(collector: Collector) -> None:
    with testing.gateway(tracing__endpoint=collector.endpoint, tracing__sample=1.0) as gateway:
        connection = http.client.HTTPConnection(urlsplit(gateway.base_url).netloc, timeout=10)
        connection.request("GET", f"/v1/qrs/{'AB' * 20}")
        assert connection.getresponse().status == 401
        connection.close()
    (span,) = collector.spans()
    assert (span.name, attributes(span)["http.response.status_code"]) == ("GET /v1", 401)
    assert b"ABAB" not in b"".join(collector.bodies)


def test_a_collector_that_is_away_costs_no_answer() -> None:
    with testing.gateway(tracing__endpoint="http://127.0.0.1:1/v1/traces", tracing__sample=1.0) as gateway:
        assert ask(gateway)["RSLT_CD"] == "0000"


def test_without_a_collector_nothing_of_opentelemetry_is_imported() -> None:
    found = "any('opentelemetry' in name for name in sys.modules)"
    program = f"import sys, cpmqr.cli.serve, cpmqr.server.wiring; sys.exit({found})"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4318", "grpc://127.0.0.1:4317"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="tracing: endpoint"):
        load(None, tracing__endpoint=endpoint)
