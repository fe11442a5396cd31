"""A request: what is asked, sealed and signed into a body (contract §1, §3, §4). No I/O, no clock, no entropy."""

from __future__ import annotations

import base64
import shlex
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cpmqr.client.settings import Gateway
from cpmqr.crypto.blocks import hmac_sha256
from cpmqr.crypto.suites import Entropy
from cpmqr.errors import EncodeError
from cpmqr.model import HashMode, TokenPan
from cpmqr.wire import contract, envelope, sealed

# The page's table names fewer members than its sample, and three of them otherwise.
_TABLE_SPELLING: Final = {canonical: other for other, canonical in contract.OTHER_SPELLINGS.items()}
_IN_TABLE: Final = frozenset(
    ("REQUESTOR_ID", "MSG_CD", "MSG_VER", "CRYPTO_TYPE", "CRYPTO_KEY_VER", "TRNS_TRCE_NO", "ENC_DATA")
)
_BY_NAME: Final = {member.name: member for member in contract.REQUEST_MEMBERS}
_TRACE_RANDOM_BYTES: Final = 10  # 80 bits, 16 characters of Base32: two wallets do not meet


@dataclass(frozen=True, slots=True)
class Request:
    """What a wallet asks, not yet sealed. Sent again it is the same request: same number, same time.

    Attributes:
        pan: the digital PAN; prints masked.
        trace_no: TRNS_TRCE_NO.
        request_time: `yyyymmddHHMMSS` in Korean time.
    """

    pan: TokenPan
    trace_no: str
    request_time: str
    dnf_dv: str = "1"
    app_dv: str = ""


def make_request(
    *,
    pan: str,
    trace_no: str | None,
    request_time: str | None,
    dnf_dv: str,
    app_dv: str,
    now_s: float,
    entropy: Entropy,
) -> Request:
    """Check a wallet's values; make up the trace number and the time that it does not give.

    Raises:
        EncodeError: a value breaks the contract's rule; it is named and not repeated.
    """
    if not isinstance(pan, str):
        raise EncodeError("the PAN must be a text of digits")
    try:
        digital_pan = TokenPan(pan)
    except ValueError as error:
        raise EncodeError(f"digital PAN: {error}") from None
    if request_time is None:
        request_time = datetime.fromtimestamp(now_s, contract.KOREAN_TIME).strftime("%Y%m%d%H%M%S")
    if trace_no is None:
        trace_no = _made_up_trace_no(request_time, entropy)
    _check("REG_ATON", request_time)
    _check("TRNS_TRCE_NO", trace_no)
    if trace_no != trace_no.strip(" "):
        # Blanks around it would be stripped inside ENC_DATA and kept outside.
        raise EncodeError("TRNS_TRCE_NO must have no blanks around it")
    _check("DNF_DV", dnf_dv)
    _check("APP_DV", app_dv)
    return Request(digital_pan, trace_no, request_time, dnf_dv, app_dv)


def _made_up_trace_no(request_time: str, entropy: Entropy) -> str:
    """Make `yyyymmddTHHMMSSK` and 16 of Base32: it sorts by time, and no run of digits in it looks like a PAN."""
    random = base64.b32encode(entropy(_TRACE_RANDOM_BYTES)).decode()
    return f"{request_time[:8]}T{request_time[8:]}K{random}"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with one sealing of it, as it would go over the wire now.

    `Wallet.send` takes it, as often as need be: each time is the same request again, freshly sealed.

    Attributes:
        url, headers, body: the HTTP request, method POST. The headers hold the credential: they do not print.
        members: REQUEST's members, canonical names.
    """

    request: Request
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    members: dict[str, str] = field(repr=False)

    @property
    def trace_no(self) -> str:
        """Give TRNS_TRCE_NO."""
        return self.request.trace_no

    @property
    def request_time(self) -> str:
        """Give the request time, `yyyymmddHHMMSS` in Korean time."""
        return self.request.request_time

    def curl(self, *, reveal: bool = False) -> str:
        """Write the request as a line for a shell.

        Args:
            reveal: put the credential in; else the line takes it from the variable CPMQR_AUTHORIZATION.
        """
        parts = [f"curl -sS {shlex.quote(self.url)}"]
        for name, value in self.headers.items():
            if name == "Authorization" and not reveal:
                parts.append('-H "Authorization: $CPMQR_AUTHORIZATION"')
            else:
                parts.append("-H " + shlex.quote(f"{name}: {value}"))
        parts.append("--data-raw " + shlex.quote(self.body.decode()))
        return " \\\n  ".join(parts)


class Sealer:
    """Seals and signs requests for one gateway; keeps the cipher ready."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._mac = hmac_sha256(gateway.hash_crc.key)
        self._opener = gateway.crypto.suite().opener(gateway.crypto.key)

    def seal(self, request: Request, entropy: Entropy) -> Prepared:
        """Seal with a fresh nonce, sign, and put into the envelope."""
        gateway = self.gateway
        members = self._members(request, self._enc_data(request, entropy))
        if gateway.hash_crc.hash_mode is not HashMode.OFF:
            text = sealed.request_text(members)
            members["HASH_CRC"] = sealed.hash_crc(gateway.hash_crc.hash_mode, self._mac, text)
        sent = members
        if gateway.spelling == "table":
            sent = {_TABLE_SPELLING.get(name, name): value for name, value in members.items()}
        return Prepared(request, gateway.url, self._headers(), envelope.write("REQUEST", sent), members)

    def _enc_data(self, request: Request, entropy: Entropy) -> str:
        text = sealed.plaintext(request.pan.reveal(), request.request_time, request.trace_no)
        aad = sealed.associated_data(self.gateway.requestor_id, self.gateway.crypto.key_ver, request.trace_no)
        return base64.b64encode(self._opener.seal(text, aad, entropy)).decode()

    def _members(self, request: Request, enc_data: str) -> dict[str, str]:
        members = {
            "REQUESTOR_ID": self.gateway.requestor_id,
            "MSG_CD": contract.MSG_CD,
            "MSG_VER": contract.MSG_VER,
            "CRYPTO_TYPE": self.gateway.crypto.crypto_type,
            "CRYPTO_KEY_VER": self.gateway.crypto.key_ver,
            "TRNS_TRCE_NO": request.trace_no,
            "ENC_DATA": enc_data,
            "RSLT_TYPE": contract.RSLT_TYPE,
            "REG_ATON": request.request_time,
            "REQ_KEY_DV": "1",
            "CPMQR_DATA_CLSS": "1",
            "DNF_DV": request.dnf_dv,
            "APP_DV": request.app_dv,
        }
        if self.gateway.spelling == "table":
            return {name: value for name, value in members.items() if name in _IN_TABLE}
        return members

    def _headers(self) -> dict[str, str]:
        return {
            "Authorization": self.gateway.authorization,
            "Content-Type": "application/json; charset=utf-8",
            "Accept": "application/json",
            # An answer is small; one that is not compressed can be bounded by what arrives.
            "Accept-Encoding": "identity",
            **self.gateway.headers,
        }


def _check(name: str, value: str) -> None:
    member = _BY_NAME[name]
    if not (isinstance(value, str) and _is_unicode(value) and member.ok(value)):
        raise EncodeError(f"{name} must be {member.rule}")


def _is_unicode(text: str) -> bool:
    """Half of a surrogate pair is a str to Python, and no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
