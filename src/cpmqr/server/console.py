"""The console: one page at `/` on which a newcomer plays wallet and till. Sandbox mode only.

The server draws requests up and explains; the browser sends them, to the same addresses as everyone else. So these
endpoints hold no rule of payment: `console_wallet.py` seals, `console_triggers.py` knows each code's recipe,
`console_inspector.py` remembers what came, and the explanations are those of `service/explain.py` and
`emv/explain.py`, which the command prints too.

They hand out what `sandbox.json` holds, so they answer their own page alone: the Host must be a loopback name (a
rebound DNS name is another), and a browser must say that the page that asks is ours.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import mimetypes
from collections.abc import Awaitable, Callable, Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cpmqr.crypto.suites import Entropy
from cpmqr.emv import qr
from cpmqr.errors import EncodeError
from cpmqr.model import mask_pan
from cpmqr.server.console_inspector import REQUESTS_MAX, Inspector
from cpmqr.server.console_payload import explained_payload
from cpmqr.server.console_recipes import Answer
from cpmqr.server.console_triggers import ANSWERS_MAX, TRIGGERS, next_request
from cpmqr.server.console_wallet import Seeds, Wallet
from cpmqr.server.routes import json_response, problem
from cpmqr.service.issue import Issuer
from cpmqr.wire import codes
from cpmqr.wire.contract import KOREAN_TIME

BODY_BYTES_MAX: Final = 131_072  # a trigger's answers, of which none has more than a few kilobytes
PAYLOAD_CHARACTERS_MAX: Final = 8_192  # what a person may paste: twice a QR's largest content, in hex
TRACE_CHARACTERS_MAX: Final = 40
NUMBER_DIGITS_MAX: Final = 18  # more requests than any process answers

PAGE_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",  # ask each time; the ETag makes it cheap
}
_MEDIA_TYPES: Final = {".js": "text/javascript", ".wasm": "application/wasm", ".md": "text/plain"}
_ASSETS: Final = "assets"
_INDEX: Final = "index.html"

Endpoint = Callable[[Request], Awaitable[Response]]
Body = TypeVar("Body")


class WalletOrder(msgspec.Struct, frozen=True):
    """Which QR the page wants: the token's place in the list, and the CRYPTO_TYPE."""

    token: int
    crypto_type: str


class PayloadOrder(msgspec.Struct, frozen=True):
    """A payload as text: Base64 or hex; `show_pan` as the command's `--show-pan`."""

    payload: str
    show_pan: bool = False


class TriggerOrder(msgspec.Struct, frozen=True):
    """How far a recipe has come: the trace number that its first request was given, and the answers so far."""

    code: str
    trace_no: str = ""
    answers: list[Answer] = []


class Asset(msgspec.Struct, frozen=True):
    """A file of the page."""

    content: bytes
    media_type: str
    etag: str


class Console:
    """The page's endpoints, and what they need.

    Args:
        now: seconds since the Unix epoch.
    """

    def __init__(self, issuer: Issuer, seeds: Seeds, now: Callable[[], float], entropy: Entropy) -> None:
        self._issuer = issuer
        self._seeds = seeds
        self._now = now
        self._wallet = Wallet(seeds, issuer.access.suites, now, entropy)
        self.inspector = Inspector(issuer, now)
        self._assets = dict(_read_assets(resources.files(__package__) / _ASSETS))

    def routes(self) -> list[BaseRoute]:
        """Give the routes; there are none outside sandbox mode."""
        return [
            Route("/", _for_our_host(self._page)),
            Route("/console/assets/{path:path}", _for_our_page(self._asset)),
            Route("/console/setup", _for_our_page(self._setup)),
            Route("/console/wallet", _for_our_page(self._order_qr), methods=["POST"]),
            Route("/console/till", _for_our_page(self._order_verification), methods=["POST"]),
            Route("/console/trigger", _for_our_page(self._trigger), methods=["POST"]),
            Route("/console/payload", _for_our_page(self._payload), methods=["POST"]),
            Route("/console/qr", _for_our_page(self._qr), methods=["POST"]),
            Route("/console/requests", _for_our_page(self._requests)),
            Route("/console/requests/{number}", _for_our_page(self._request)),
        ]

    async def _page(self, request: Request) -> Response:
        return self._file(request, _INDEX)

    async def _asset(self, request: Request) -> Response:
        return self._file(request, request.path_params["path"])

    def _file(self, request: Request, path: str) -> Response:
        asset = self._assets.get(path)
        if asset is None:
            return problem(404, "Not Found")
        headers = {**PAGE_HEADERS, "etag": asset.etag}
        if request.headers.get("if-none-match") == asset.etag:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, headers=headers, media_type=asset.media_type)

    async def _setup(self, _: Request) -> Response:
        """What the page is built from: tokens, schemes, lifetimes, and the catalogue with its recipes."""
        rules = self._issuer.rules
        return json_response(
            {
                "requestor_id": self._seeds.requestor_id,
                "qr_ttl_s": rules.qr_ttl_s,
                "requests_max": REQUESTS_MAX,
                "tokens": [
                    {"pan": mask_pan(token.pan), "state": token.state, "profile": token.profile}
                    for token in self._seeds.tokens
                ],
                "crypto_types": [
                    {"code": code, "scheme": scheme} for code, scheme in self._crypto_types().items()
                ],
                "codes": [
                    {
                        "code": code.rslt_cd,
                        "text": code.rslt_msg,
                        "meaning": code.meaning,
                        "http_status": code.http_status,
                        "retry": code.retry,
                        "how": TRIGGERS[code.rslt_cd].how,
                        "how_ko": TRIGGERS[code.rslt_cd].how_ko,
                    }
                    for code in codes.CODES.values()
                ],
            }
        )

    async def _order_qr(self, request: Request) -> Response:
        order = await _read(request, WalletOrder)
        tokens = self._seeds.tokens
        if not 0 <= order.token < len(tokens) or order.crypto_type not in self._crypto_types():
            raise _Unreadable("no such token or CRYPTO_TYPE")
        draft = self._wallet.draft(pan=tokens[order.token].pan, crypto_type=order.crypto_type)
        trace_no = draft.members["TRNS_TRCE_NO"]
        return json_response({"trace_no": trace_no, "request": draft.seal().sign().ready()})

    def _crypto_types(self) -> dict[str, str]:
        """CRYPTO_TYPE → scheme, for those that `sandbox.json` has a key for or that take none."""
        return {
            code: suite.name
            for code, suite in sorted(self._issuer.access.suites.items())
            if suite.key_bytes == 0 or code in self._seeds.crypto_types
        }

    async def _order_verification(self, request: Request) -> Response:
        order = await _read(request, PayloadOrder)
        return json_response({"request": self._wallet.verification(_checked(order.payload))})

    async def _trigger(self, request: Request) -> Response:
        order = await _read(request, TriggerOrder)
        if order.code not in TRIGGERS or len(order.answers) > ANSWERS_MAX:
            raise _Unreadable("no such code, or more answers than a recipe has")
        trace_no = order.trace_no[:TRACE_CHARACTERS_MAX] or self._wallet.trace_no()
        following = next_request(self._wallet, order.code, trace_no, order.answers)
        return json_response({"trace_no": trace_no, "request": following})

    async def _payload(self, request: Request) -> Response:
        order = await _read(request, PayloadOrder)
        today = datetime.datetime.fromtimestamp(self._now(), KOREAN_TIME).date()
        return json_response(explained_payload(_checked(order.payload), today, show_pan=order.show_pan))

    async def _qr(self, request: Request) -> Response:
        order = await _read(request, PayloadOrder)
        try:
            picture = qr.svg(order.payload)
        except EncodeError as error:
            return problem(422, "Not a QR", detail=str(error))
        return Response(picture, media_type="image/svg+xml", headers={"cache-control": "no-store"})

    async def _requests(self, request: Request) -> Response:
        """The lines after a number, or the whole story of the last request with a trace number."""
        trace_no = request.query_params.get("trace_no")
        if trace_no is not None:
            entry = self.inspector.last_with_trace(trace_no)
            return (
                json_response(self.inspector.detail(entry))
                if entry is not None
                else problem(404, "Not Found")
            )
        return json_response(
            {"requests": self.inspector.after(_number(request.query_params.get("after", "")))}
        )

    async def _request(self, request: Request) -> Response:
        entry = self.inspector.find(_number(request.path_params["number"]))
        return json_response(self.inspector.detail(entry)) if entry is not None else problem(404, "Not Found")


class _Unreadable(Exception):
    """The body is not what the page sends."""


def _for_our_host(endpoint: Endpoint) -> Endpoint:
    """Refuse whoever came by another name than a loopback one."""

    async def guarded(request: Request) -> Response:
        if not _is_loopback(request.headers.get("host", "")):
            return problem(
                403, "Forbidden", detail="the console answers to localhost, 127.0.0.1 and [::1] alone"
            )
        try:
            return await endpoint(request)
        except _Unreadable as error:
            return problem(400, "Bad Request", detail=str(error))

    return guarded


def _for_our_page(endpoint: Endpoint) -> Endpoint:
    """Refuse, besides, a browser that asks for another page."""

    async def guarded(request: Request) -> Response:
        origin = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site", "same-origin")
        asked_by_ours = origin is None or urlsplit(origin).netloc == request.headers.get("host")
        typed_in = site == "none" and request.method == "GET"
        if not asked_by_ours or not (site == "same-origin" or typed_in):
            return problem(403, "Forbidden", detail="the console answers its own page alone")
        return await endpoint(request)

    return _for_our_host(guarded)


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


async def _read(request: Request, shape: type[Body]) -> Body:
    """Read a body of JSON; another content type would be one that any page may send."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise _Unreadable("send application/json")
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES_MAX:
                raise _Unreadable("the body is too long")
    except ClientDisconnect:
        raise _Unreadable("the body did not come") from None
    try:
        return msgspec.json.decode(bytes(body), type=shape)
    except (msgspec.DecodeError, RecursionError):
        raise _Unreadable("the body is not what the page sends") from None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX else 0


def _checked(payload: str) -> str:
    if len(payload) > PAYLOAD_CHARACTERS_MAX:
        raise _Unreadable(f"at most {PAYLOAD_CHARACTERS_MAX} characters")
    return payload


def _read_assets(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Asset]]:
    for item in folder.iterdir():
        if item.is_dir():
            yield from _read_assets(item, f"{prefix}{item.name}/")
            continue
        content = item.read_bytes()
        suffix = item.name[item.name.rfind(".") :]
        media_type = (
            _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(item.name)[0] or "application/octet-stream"
        )
        yield prefix + item.name, Asset(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
