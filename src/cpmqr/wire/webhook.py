"""Notifications to a wallet's server: their body, and the signature that proves who sent them.

Signed as Standard Webhooks 1.0 describes it, so that receivers find a verifier in most languages:

    webhook-id: 006923a1bc…                 the same each time that this event is delivered
    webhook-timestamp: 1795392000           seconds since the Unix epoch, when this delivery was made
    webhook-signature: v1,K5oZfzN95Z9U…=    Base64 of HMAC-SHA-256 over id ‖ "." ‖ timestamp ‖ "." ‖ body

While a key is rotated there is a signature of each live key, with a blank between them. `docs/webhooks.md` explains.
Source: Standard Webhooks specification, "Signature scheme"; the choice is ours (`docs/decisions/webhooks.md`).
"""

from __future__ import annotations

import binascii
import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from cpmqr.errors import ConfigError, UntrustedAnswer
from cpmqr.wire import v1

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
QR_USED: Final = "qr.used"
TOLERANCE_S: Final = 300  # an older delivery may be a replay of one that was overheard
BODY_BYTES_MAX: Final = 16_384  # ours have some 400 bytes
SECRET_PREFIX: Final = "whsec_"
_VERSION: Final = "v1,"
_SIGNATURES_MAX: Final = 8  # two while a key is rotated
_KEY_BYTES_MIN: Final = 16


class QrUsed(msgspec.Struct, frozen=True):
    """A QR was verified and consumed."""

    qr_data_mapp_val: v1.MappingValue
    requestor_id: v1.RequestorId
    trace_no: v1.TraceNo
    token_id: v1.TokenId
    atc: v1.Atc
    issued_at: v1.Moment
    used_at: v1.Moment


class Notice(msgspec.Struct, frozen=True):
    """The body of a notification. Members may be added: leave alone what you don't know."""

    type: Annotated[Literal["qr.used"], Meta(description="What happened.")]
    timestamp: Annotated[datetime, Meta(tz=True, description="When it happened.")]
    data: QrUsed


def sign(keys: Sequence[bytes], event_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Give the three headers of a delivery; a signature by each key."""
    signed = _signed_content(event_id, str(timestamp_s), body)
    return {
        ID_HEADER: event_id,
        TIMESTAMP_HEADER: str(timestamp_s),
        SIGNATURE_HEADER: " ".join(_VERSION + _signature(key, signed) for key in keys),
    }


def verify(
    headers: Mapping[str, str], body: bytes, keys: Iterable[bytes], now_s: int, tolerance_s: int = TOLERANCE_S
) -> Notice:
    """Check a delivery and read it.

    Args:
        headers: as received; names in any case.
        body: the very bytes that came, not JSON that was written anew.
        keys: those that may have signed it; two while a key is rotated.
        now_s: seconds since the Unix epoch.

    Returns:
        The notice. An event may come more than once: keep the `webhook-id`s that were seen.

    Raises:
        UntrustedAnswer: a header is missing, no signature is right, the time lies too far off, or the body is none.
    """
    sent = {name.lower(): value for name, value in headers.items()}
    try:
        event_id, timestamp = sent[ID_HEADER], sent[TIMESTAMP_HEADER]
        signatures = sent[SIGNATURE_HEADER].split(" ")[:_SIGNATURES_MAX]
    except KeyError as error:
        raise UntrustedAnswer(f"the header {error.args[0]} is missing") from None
    if len(body) > BODY_BYTES_MAX:
        raise UntrustedAnswer(f"a notification has {BODY_BYTES_MAX} bytes at most")
    signed = _signed_content(event_id, timestamp, body)
    right = [_VERSION + _signature(key, signed) for key in keys]
    # Every pair is compared, so that the time tells nothing of which key or where they differ.
    matches = [hmac.compare_digest(sent.encode(), one.encode()) for sent in signatures for one in right]
    if not any(matches):
        raise UntrustedAnswer("the signature is not made with this key over these bytes")
    _check_time(timestamp, now_s, tolerance_s)
    try:
        return msgspec.json.decode(body, type=Notice)
    except (msgspec.DecodeError, RecursionError):
        raise UntrustedAnswer("the notification is of a kind that this release does not know") from None


def write_secret(key: bytes) -> str:
    """Write a key as receivers' libraries take it: `whsec_` and Base64."""
    return SECRET_PREFIX + binascii.b2a_base64(key, newline=False).decode()


def read_secret(text: str) -> bytes:
    """Read `whsec_…`, or the hex digits that `cpmqr key` takes and the sandbox's file has.

    Raises:
        ConfigError: neither, or shorter than 16 bytes; the value is not repeated.
    """
    try:
        if text.startswith(SECRET_PREFIX):
            key = binascii.a2b_base64(text.removeprefix(SECRET_PREFIX), strict_mode=True)
        else:
            key = bytes.fromhex(text)
    except (ValueError, TypeError):
        raise ConfigError("a webhook secret is whsec_ and Base64, or hex digits") from None
    if len(key) < _KEY_BYTES_MIN:
        raise ConfigError(f"a webhook secret has {_KEY_BYTES_MIN} bytes or more")
    return key


def _check_time(timestamp: str, now_s: int, tolerance_s: int) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise UntrustedAnswer(f"the header {TIMESTAMP_HEADER} is no number of seconds")
    if abs(now_s - int(timestamp)) > tolerance_s:
        raise UntrustedAnswer(f"the delivery was made more than {tolerance_s} s away from this clock")


def _signed_content(event_id: str, timestamp: str, body: bytes) -> bytes:
    return b"%s.%s.%s" % (event_id.encode("utf-8", "replace"), timestamp.encode("utf-8", "replace"), body)


def _signature(key: bytes, signed: bytes) -> str:
    return binascii.b2a_base64(hmac.digest(key, signed, "sha256"), newline=False).decode()
