"""Judge an answer: is it a QR, a refusal, or nothing that can be trusted (contract §2, §4, §6). No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import Final

from cpmqr.client import payload
from cpmqr.client.qrdata import QrData
from cpmqr.client.request import Request
from cpmqr.client.settings import Gateway
from cpmqr.crypto.blocks import hmac_sha256
from cpmqr.errors import Refusal, Refused, UntrustedAnswer
from cpmqr.model import HashMode, mask_pan
from cpmqr.wire import codes, contract, envelope, sealed

ANSWER_BYTES_MAX: Final = 65_536  # ours: as a request's; an answer is under 1 KiB
RSLT_CD_CHARACTERS_MAX: Final = 16  # ours: the catalogue's have four, a gateway's own may be longer
RSLT_MSG_CHARACTERS_MAX: Final = 500  # ours: what a log line or a terminal takes
MAPPING_VALUE_CHARACTERS_MAX: Final = 128  # ours: 40 by the contract; a gateway's own may be longer
INCIDENT_CHARACTERS_MAX: Final = 64  # ours: our gateway's have 16
RETRY_AFTER_MAX_S: Final = 86_400  # ours: more is no answer to a wallet


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer as it came.

    Attributes:
        status: HTTP status. retry_after, incident: the headers Retry-After and X-Incident-Id, or "".
        body: at most ANSWER_BYTES_MAX; `complete` is False where more would have come.
        encoded: the body came compressed, though the request forbade it.
    """

    status: int
    body: bytes = field(repr=False)
    retry_after: str = ""
    incident: str = ""
    complete: bool = True
    encoded: bool = False


def read_members(answer: Answer) -> dict[str, str] | None:
    """Give RESPONSE's members, whatever they say; None where the body is no answer of PAYGW.

    Members that are no strings are left out.
    """
    try:
        return _members(answer)
    except Refusal:
        return None


def read_qr(answer: Answer, request: Request, gateway: Gateway) -> QrData:
    """Turn an answer into the QR that it carries.

    Raises:
        Refused: it is a refusal, by its RSLT_CD or by an HTTP status that says "again".
        UntrustedAnswer: it is neither, or something in it is wrong; which, but never a value.
    """
    members = _trusted_members(answer)
    rslt_cd = members.get("RSLT_CD", "")
    if rslt_cd != codes.OK:
        raise _refused(answer, members, request, gateway)
    if answer.status != 200:
        raise UntrustedAnswer(f"RSLT_CD 0000 came with HTTP {answer.status}")
    _check_hash_crc(members, gateway, compulsory=gateway.hash_crc.answer == "required")
    _check_same(members, request, gateway)
    return _qr_data(answer, members, request, gateway)


def retry_after_s(answer: Answer) -> int | None:
    """Read Retry-After: whole seconds, at most a day; None where there is none that says so."""
    text = answer.retry_after
    if not (0 < len(text) <= 6 and text.isascii() and text.isdigit()):
        return None
    return min(int(text), RETRY_AFTER_MAX_S)


def _trusted_members(answer: Answer) -> dict[str, str]:
    if 300 <= answer.status < 400:
        raise UntrustedAnswer(
            f"HTTP {answer.status} is a redirect, and the credential follows none: set base_url and path anew"
        )
    try:
        return _members(answer)
    except Refusal as error:
        text = f"HTTP {answer.status} without a readable answer of PAYGW: {error.cause}"
    if answer.status >= 500 or answer.status == 429:
        # Not the gateway speaks but what stands in front of it: no RSLT_CD, yet a reason to try again.
        raise Refused("", text, answer.status, retryable=True, retry_after_s=retry_after_s(answer))
    if answer.status in (404, 405):
        text += "; are base_url and path right?"
    raise UntrustedAnswer(text)


def _members(answer: Answer) -> dict[str, str]:
    if answer.encoded:
        raise Refusal(codes.CONTENT_TYPE, "compressed, though the request forbade it")
    if not answer.complete:
        raise Refusal(codes.TOO_LARGE, f"longer than {ANSWER_BYTES_MAX} bytes")
    return envelope.read_response(answer.body).members


def _refused(
    answer: Answer, members: Mapping[str, str], request: Request, gateway: Gateway
) -> Refused | UntrustedAnswer:
    rslt_cd = members.get("RSLT_CD", "")
    if not (0 < len(rslt_cd) <= RSLT_CD_CHARACTERS_MAX and rslt_cd.isascii() and rslt_cd.isalnum()):
        return UntrustedAnswer(f"HTTP {answer.status} with an answer of PAYGW without a readable RSLT_CD")
    # A refusal need not be signed (contract §2), but a signature that is there must be right.
    if "HASH_CRC" in members:
        _check_hash_crc(members, gateway, compulsory=False)
    code = codes.CODES.get(rslt_cd)
    return Refused(
        rslt_cd,
        _shown(members.get("RSLT_MSG", ""), request),
        answer.status,
        retryable=code.retryable if code else answer.status >= 500 or answer.status == 429,
        retry_after_s=retry_after_s(answer),
    )


def _shown(rslt_msg: str, request: Request) -> str:
    """Make a foreign text fit for logs and terminals: bounded, no control characters, the PAN masked."""
    pan = request.pan.reveal()
    text = "".join(character if character.isprintable() else " " for character in rslt_msg)
    return text.replace(pan, mask_pan(pan))[:RSLT_MSG_CHARACTERS_MAX]


def _check_hash_crc(members: Mapping[str, str], gateway: Gateway, *, compulsory: bool) -> None:
    settings = gateway.hash_crc
    if settings.hash_mode is HashMode.OFF or settings.answer == "ignored":
        return
    sent = members.get("HASH_CRC")
    if sent is None:
        if compulsory:
            raise UntrustedAnswer("the answer carries no HASH_CRC")
        return
    computed = sealed.hash_crc(settings.hash_mode, hmac_sha256(settings.key), sealed.response_text(members))
    if not sealed.hash_crc_equal(sent, computed):
        raise UntrustedAnswer("the answer's HASH_CRC is wrong: another key, or changed on the way")


def _check_same(members: Mapping[str, str], request: Request, gateway: Gateway) -> None:
    """What the answer repeats of the request must be the request's; both spellings, where both are there."""
    expected = {
        "REQUESTOR_ID": gateway.requestor_id,
        "MSG_CD": contract.MSG_CD,
        "MSG_ID": contract.MSG_CD,
        "MSG_VER": contract.MSG_VER,
        "CRYPTO_TYPE": gateway.crypto.crypto_type,
        "CRTPYO_TYPE": gateway.crypto.crypto_type,
        "CRYPTO_KEY_VER": gateway.crypto.key_ver,
        "TRNS_TRCE_NO": request.trace_no,
        "TRNS_TRACE_NO": request.trace_no,
    }
    for name, value in expected.items():
        if members.get(name, value) != value:
            raise UntrustedAnswer(f"the answer's {name} is not the request's")
    if "REQUESTOR_ID" not in members:
        raise UntrustedAnswer("the answer names no REQUESTOR_ID")


def _qr_data(answer: Answer, members: Mapping[str, str], request: Request, gateway: Gateway) -> QrData:
    data = members.get("CPMQR_DATA", "")
    if not 0 < len(data) <= contract.CPMQR_DATA_CHARACTERS_MAX:
        raise UntrustedAnswer(f"CPMQR_DATA must have 1 to {contract.CPMQR_DATA_CHARACTERS_MAX} characters")
    handle = members.get("QR_DATA_MAPP_VAL", "")
    if len(handle) > MAPPING_VALUE_CHARACTERS_MAX or not (handle.isascii() and f"{handle}0".isalnum()):
        raise UntrustedAnswer("QR_DATA_MAPP_VAL must be letters and digits")
    decoded = payload.read(data)
    if gateway.pan_must_match and payload.pans_of(decoded) != {request.pan.reveal()}:
        raise UntrustedAnswer("the payload is for another PAN than the one asked for")
    requested_at = contract.korean_time(request.request_time)
    assert requested_at is not None  # make_request has checked it
    issued_at = payload.issued_at(decoded) or requested_at.astimezone(UTC)
    return QrData(
        base64=data,
        mapping_value=handle,
        requestor_id=gateway.requestor_id,
        trace_no=request.trace_no,
        request_time=request.request_time,
        issued_at=issued_at,
        expires_at=issued_at + timedelta(seconds=gateway.qr_ttl_s),
        payload=decoded,
        http_status=answer.status,
        members=dict(members),
    )
