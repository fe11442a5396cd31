"""The callers of `/v1`: what is sent, what is tried again, which error says what. The other side is made of answers."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from cpmqr.client.authoriser import AsyncAuthoriser, Authoriser
from cpmqr.client.endpoint import Endpoint
from cpmqr.client.operator import Operator
from cpmqr.errors import (
    ConfigError,
    CpmqrError,
    EncodeError,
    OutcomeUnknown,
    Refused,
    Unreachable,
    UntrustedAnswer,
)
from cpmqr.wire import v1

APPROVED = {
    "result": "approved",
    "rslt_cd": "0000",
    "token_id": "0f3a5c7e9b1d2e4f",
    "funding_ref": "",
    "requestor_id": "42000000066",
    "trace_no": "NPAY202009XX123XXXX35",
    "atc": 139,
    "issued_at": "2026-11-23T00:00:00Z",
    "expires_at": "2026-11-23T00:03:00Z",
    "qr_data_mapp_val": "95050000000800900019F26084934E9FD0E3E169",
}


def problem(code: str, status: int, **members: object) -> dict[str, object]:
    return {
        "type": "about:blank",
        "title": "x",
        "status": status,
        "rslt_cd": code,
        "rslt_msg": "글",
        "detail": "why",
        **members,
    }


Given = tuple[int, object, dict[str, str]]


class Gateway:
    """Answers one after the other; the last one stays. None closes the connection."""

    def __init__(self, answers: Sequence[Given | None]) -> None:
        self.answers = answers
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        gateway = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                given = gateway.answers[min(len(gateway.requests), len(gateway.answers) - 1)]
                gateway.requests.append((self.command, self.path, headers, body))
                if given is None:
                    return
                status, told, more = given
                content = told if isinstance(told, bytes) else json.dumps(told).encode()
                self.send_response(status)
                for name, value in {"content-length": str(len(content)), **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = serve

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    def endpoint(self, **more: object) -> Endpoint:
        url = f"http://127.0.0.1:{self.server.server_port}"
        return Endpoint(url, "credential", **{"first_pause_s": 0.0, **more})  # type: ignore[arg-type]


@contextmanager
def answering(*answers: Given | None) -> Iterator[Gateway]:
    gateway = Gateway(answers)
    thread = threading.Thread(target=gateway.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield gateway
    finally:
        gateway.server.shutdown()
        gateway.server.server_close()
        thread.join()


def ok(body: object) -> Given:
    return 200, body, {}


def no(code: str, status: int, **headers: str) -> Given:
    return status, problem(code, status), headers


def sync(gateway: Gateway, ask: Callable[[Authoriser], object]) -> object:
    with Authoriser(gateway.endpoint(), sleep=lambda _: None) as authoriser:
        return ask(authoriser)


def verify_sync(gateway: Gateway) -> object:
    return sync(gateway, lambda authoriser: authoriser.verify(payload="hQ==", authorization_id="A"))


def verify_async(gateway: Gateway) -> object:
    async def run() -> object:
        async with AsyncAuthoriser(gateway.endpoint()) as authoriser:
            return await authoriser.verify(payload="hQ==", authorization_id="A")

    return asyncio.run(run())


BOTH = pytest.mark.parametrize("verify", [verify_sync, verify_async])


@BOTH
def test_an_approval_is_read(verify: Callable[[Gateway], v1.Verification]) -> None:
    with answering(ok(APPROVED)) as gateway:
        verdict = verify(gateway)
    assert (verdict.result, verdict.atc) == ("approved", 139)
    assert verdict.issued_at.isoformat() == "2026-11-23T00:00:00+00:00"
    ((method, path, headers, body),) = gateway.requests
    assert (method, path) == ("POST", "/v1/verifications")
    assert headers["authorization"] == "credential"
    assert json.loads(body) == {"authorization_id": "A", "payload": "hQ=="}


@BOTH
def test_a_decline_is_a_result_and_no_error(verify: Callable[[Gateway], v1.Declined]) -> None:
    told = problem("5004", 410, result="declined", late_by_s=7)
    with answering((410, told, {})) as gateway:
        verdict = verify(gateway)
    assert (verdict.result, verdict.rslt_cd, verdict.late_by_s) == ("declined", "5004", 7)
    assert len(gateway.requests) == 1


@BOTH
def test_a_refused_question_is_raised(verify: Callable[[Gateway], object]) -> None:
    with answering(no("1003", 400)) as gateway, pytest.raises(Refused) as refused:
        verify(gateway)
    assert (refused.value.rslt_cd, refused.value.http_status) == ("1003", 400)
    assert refused.value.rslt_msg == "글: why"
    assert not refused.value.retryable


@BOTH
@pytest.mark.parametrize(
    "first",
    [None, no("9003", 504), no("9999", 500), (502, b"<html>", {}), no("9001", 503, **{"retry-after": "0"})],
)
def test_a_verification_is_asked_again_under_its_name(
    verify: Callable[[Gateway], v1.Verification], first: Given | None
) -> None:
    with answering(first, ok(APPROVED)) as gateway:
        assert verify(gateway).result == "approved"
    assert len({body for *_, body in gateway.requests}) == 1
    assert len(gateway.requests) == 2


@BOTH
@pytest.mark.parametrize(
    ("given", "error"),
    [
        (None, OutcomeUnknown),
        ((502, b"<html>", {}), OutcomeUnknown),
        (no("9003", 504), Refused),
        (no("8001", 429, **{"retry-after": "1000"}), Refused),
        (ok({"result": "maybe"}), UntrustedAnswer),
        (ok([]), UntrustedAnswer),
        ((200, b"{", {}), UntrustedAnswer),
        ((200, b"x" * 70_000, {}), UntrustedAnswer),
        ((302, b"", {"location": "http://127.0.0.1:1/"}), UntrustedAnswer),
        ((404, b"not here", {}), UntrustedAnswer),
        ((200, b"{}", {"content-encoding": "br"}), UntrustedAnswer),
    ],
)
def test_each_end_has_its_error(
    verify: Callable[[Gateway], object], given: Given | None, error: type[CpmqrError]
) -> None:
    with answering(given) as gateway, pytest.raises(error):
        verify(gateway)


@BOTH
def test_nobody_there_is_unreachable(verify: Callable[[Gateway], object]) -> None:
    with answering(ok(APPROVED)) as gateway:
        pass
    with pytest.raises(Unreachable):
        verify(gateway)


def test_what_is_not_safe_to_repeat_is_sent_once() -> None:
    with answering(None) as gateway, Operator(gateway.endpoint(), sleep=lambda _: None) as operator:
        with pytest.raises(OutcomeUnknown):
            operator.provision_token(requestor_id="42000000066", expiry="3012")
        assert len(gateway.requests) == 1
        with pytest.raises(OutcomeUnknown):
            operator.suspend_token("0f3a5c7e9b1d2e4f")
        assert len(gateway.requests) == 1 + 3


def test_what_was_not_done_for_sure_is_sent_again_in_any_case() -> None:
    busy = no("9001", 503, **{"retry-after": "1"})
    waited: list[float] = []
    with answering(busy) as gateway, Operator(gateway.endpoint(), sleep=waited.append) as operator:
        with pytest.raises(Refused) as refused:
            operator.provision_token(requestor_id="42000000066", expiry="3012")
        assert len(gateway.requests) == 3
    assert refused.value.retry_after_s == 1
    assert [pause_s >= 1 for pause_s in waited] == [True, True]


def test_odd_ids_stay_one_part_of_the_path() -> None:
    with answering(no("4001", 404)) as gateway, Operator(gateway.endpoint()) as operator:
        for token_id in ("a/b", "a?b=c", "é", "%2F"):
            with pytest.raises(Refused):
                operator.token(token_id)
    assert [path for _, path, *_ in gateway.requests] == [
        "/v1/tokens/a%2Fb",
        "/v1/tokens/a%3Fb%3Dc",
        "/v1/tokens/%C3%A9",
        "/v1/tokens/%252F",
    ]


@pytest.mark.parametrize("token_id", ["", ".", ".."])
def test_an_id_that_would_lead_elsewhere_is_not_sent(token_id: str) -> None:
    with answering(no("4001", 404)) as gateway, Operator(gateway.endpoint()) as operator:
        with pytest.raises(EncodeError):
            operator.delete_token(token_id)
        assert gateway.requests == []


def test_a_closed_client_says_so() -> None:
    with answering(ok(APPROVED)) as gateway:
        authoriser = Authoriser(gateway.endpoint())
        authoriser.close()
        with pytest.raises(ConfigError):
            authoriser.verify(payload="hQ==")


@pytest.mark.parametrize(
    ("base_url", "more"),
    [
        ("http://gateway.example", {}),
        ("ftp://127.0.0.1", {}),
        ("https://gateway.example?x=1", {}),
        ("https://gateway.example", {"authorization": ""}),
        ("https://gateway.example", {"authorization": "a\r\nX: y"}),
        ("https://gateway.example", {"headers": {"X": "a\nb"}}),
        ("https://gateway.example", {"timeout_s": 0}),
        ("https://gateway.example", {"attempts_max": 0}),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_sent(base_url: str, more: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Endpoint(base_url, **{"authorization": "credential", **more})  # type: ignore[arg-type]


def test_an_endpoint_does_not_print_its_credential() -> None:
    endpoint = Endpoint("https://gateway.example", "credential-1", headers={"X-Key": "secret-2"})
    with Authoriser(endpoint) as authoriser:
        shown = repr(endpoint) + repr(authoriser)
    assert "credential-1" not in shown
    assert "secret-2" not in shown


@pytest.mark.parametrize("content", [None, b"{}", b"[", b'{"base_url":1}'])
def test_a_file_that_the_sandbox_did_not_write_is_refused(tmp_path: object, content: bytes | None) -> None:
    path = tmp_path / "sandbox.json"  # type: ignore[operator]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError):
        Authoriser.from_sandbox(path)
