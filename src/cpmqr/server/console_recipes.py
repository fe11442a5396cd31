"""Requests that provoke each code of the catalogue, one recipe for each kind of wrong.

A recipe is a generator: it yields a request, gets the answer, and yields the next. The page sends them one by one,
so a recipe is run anew for each with the answers so far; only what has not been sent yet is new.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Generator
from typing import Final

import msgspec

from cpmqr.server.console_wallet import UNKNOWN_PAN, Draft, Prepared, Wallet
from cpmqr.service.issue import korean_text

_HOUR_S: Final = 3_600


class Answer(msgspec.Struct, frozen=True):
    """What came back for a request of a recipe: the body as text."""

    http_status: int
    body: str

    def member(self, name: str) -> str:
        """Give a member of RESPONSE; "" where there is none."""
        try:
            value = json.loads(self.body)["PAYGW"]["RESPONSE"][name]
        except (ValueError, LookupError, TypeError, RecursionError):
            return ""
        return value if isinstance(value, str) else ""


Requests = Generator[Prepared, Answer, None]
Recipe = Callable[[Wallet, str], Requests]  # the wallet, and the trace number of this run


def good(wallet: Wallet, trace_no: str) -> Draft:
    """Draw up a request that is answered with a QR."""
    return wallet.draft(trace_no=trace_no).seal().sign()


def success(wallet: Wallet, trace_no: str) -> Requests:
    """Ask for a QR, and get it."""
    yield good(wallet, trace_no).ready()


def spoiled(spoil: Callable[[Draft], object]) -> Recipe:
    """Change a good request after it was signed."""

    def recipe(wallet: Wallet, trace_no: str) -> Requests:
        draft = good(wallet, trace_no)
        spoil(draft)
        yield draft.ready()

    return recipe


def member(name: str, value: str) -> Recipe:
    """Give a member another value, after it was signed."""
    return spoiled(lambda draft: draft.members.update({name: value}))


def header(name: str, value: str) -> Recipe:
    """Give an HTTP header another value, or one more."""
    return spoiled(lambda draft: draft.headers.update({name: value}))


def asked_for(rslt_cd: str) -> Recipe:
    """Have the sandbox answer with a code that nothing else in it leads to."""
    return header("X-Sandbox-Result", rslt_cd)


def token(state: str) -> Recipe:
    """Ask for a seeded token in a state; "unknown" asks for one that there is not."""

    def recipe(wallet: Wallet, trace_no: str) -> Requests:
        pan = UNKNOWN_PAN if state == "unknown" else wallet.pan_of(state)
        yield wallet.draft(pan=pan, trace_no=trace_no).seal().sign().ready()

    return recipe


def text(rewrite: Callable[[str], str]) -> Recipe:
    """Rewrite the body of a good request."""

    def recipe(wallet: Wallet, trace_no: str) -> Requests:
        request = good(wallet, trace_no).ready()
        yield msgspec.structs.replace(request, body=rewrite(request.body))

    return recipe


def suspended_requestor(wallet: Wallet, trace_no: str) -> Requests:
    """Ask as the requestor that is suspended."""
    draft = good(wallet, trace_no)
    suspended = wallet.seeds.suspended_requestor
    draft.members["REQUESTOR_ID"] = suspended.requestor_id
    draft.headers["Authorization"] = suspended.authorization
    yield draft.ready()


def retired_key_version(wallet: Wallet, trace_no: str) -> Requests:
    """Name a key version that is retired."""
    draft = wallet.draft(trace_no=trace_no)
    draft.members["CRYPTO_KEY_VER"] = wallet.seeds.refused_key_versions.get("retired", "99")
    yield draft.seal().sign().ready()


def changed_ciphertext(wallet: Wallet, trace_no: str) -> Requests:
    """Flip one bit of ENC_DATA, and sign that."""
    draft = wallet.draft(trace_no=trace_no).seal()
    blob = base64.b64decode(draft.members["ENC_DATA"])
    draft.members["ENC_DATA"] = base64.b64encode(blob[:-1] + bytes((blob[-1] ^ 1,))).decode()
    yield draft.sign().ready()


def other_trace_inside(wallet: Wallet, trace_no: str) -> Requests:
    """Seal another trace number than TRNS_TRCE_NO."""
    draft = wallet.draft(trace_no=trace_no)
    draft.plain = draft.plain.replace(trace_no.encode(), b"ANOTHER")
    yield draft.seal().sign().ready()


def an_hour_late(wallet: Wallet, trace_no: str) -> Requests:
    """Ask with the time of an hour ago."""
    yield wallet.draft(trace_no=trace_no, at_s=wallet.now_s - _HOUR_S).seal().sign().ready()


def same_number_other_content(wallet: Wallet, trace_no: str) -> Requests:
    """Use a trace number twice, for two different requests."""
    yield good(wallet, trace_no).ready()
    draft = wallet.draft(trace_no=trace_no)
    draft.members["APP_DV"] = "other"
    yield draft.seal().sign().ready()


def issued_an_hour_ago(wallet: Wallet, trace_no: str) -> Requests:
    """Issue with the clock set back an hour, and have that QR verified now."""
    then_s = wallet.now_s - _HOUR_S
    draft = wallet.draft(trace_no=trace_no, at_s=then_s).seal().sign()
    draft.headers["X-Sandbox-Now"] = korean_text(then_s)
    issued = yield draft.ready()
    yield wallet.verification(issued.member("CPMQR_DATA"))


def twice(wallet: Wallet, trace_no: str) -> Requests:
    """Have one QR verified twice."""
    issued = yield good(wallet, trace_no).ready()
    yield wallet.verification(issued.member("CPMQR_DATA"))
    yield wallet.verification(issued.member("CPMQR_DATA"))


def revoked(wallet: Wallet, trace_no: str) -> Requests:
    """Revoke a QR, then have it verified."""
    issued = yield good(wallet, trace_no).ready()
    yield wallet.revocation(issued.member("QR_DATA_MAPP_VAL"))
    yield wallet.verification(issued.member("CPMQR_DATA"))


def changed(tag: bytes, value: bytes) -> Recipe:
    """Have a QR verified in which the value after `tag` and its length has been overwritten."""

    def recipe(wallet: Wallet, trace_no: str) -> Requests:
        issued = yield good(wallet, trace_no).ready()
        yield wallet.verification(_overwritten(issued.member("CPMQR_DATA"), tag, value))

    return recipe


def _overwritten(payload: str, tag: bytes, value: bytes) -> str:
    """Overwrite what follows `tag` in a payload; what is no payload stays as it is."""
    try:
        octets = bytearray(binascii.a2b_base64(payload, strict_mode=True))
    except ValueError:
        return payload
    at = octets.find(tag)
    if at >= 0:
        at += len(tag)
        octets[at : at + len(value)] = value
    return base64.b64encode(octets).decode()
