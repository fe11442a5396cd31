"""What a wallet's developer can do about a refusal: one line for each code that issuing and verifying give."""

from __future__ import annotations

from typing import Final

from cpmqr.errors import Refused
from cpmqr.wire import codes

ADVICE: Final[dict[str, str]] = {
    codes.NOT_THE_FORMAT: "send the envelope of contract §1; `cpmqr request --curl` prints one that works",
    codes.MEMBER_MISSING: "add the member that is named; `cpmqr request --curl` prints a whole request",
    codes.MEMBER_WRONG: "correct the member that is named, by the rule that is given",
    codes.UNKNOWN_MESSAGE: "REQID is cpmqrdatareq and MSG_CD is Q200",
    codes.UNKNOWN_VERSION: "VERSION is 1.0 and MSG_VER is 01",
    codes.TOO_LARGE: "a request is at most 64 KiB; one with all members has under 1 KiB",
    codes.CONTENT_TYPE: "send Content-Type: application/json; charset=utf-8",
    codes.NOT_AUTHENTICATED: "check the credential; a revoked one is replaced with `cpmqr requestor`",
    codes.NOT_YOURS: "send the REQUESTOR_ID that the credential was issued for",
    codes.REQUESTOR_SUSPENDED: "ask the gateway's operator: this requestor is suspended",
    codes.CRYPTO_TYPE: "use a CRYPTO_TYPE that this gateway allows you; 01 is AES-256-GCM",
    codes.KEY_VERSION: "use a CRYPTO_KEY_VER that is live for this CRYPTO_TYPE and for HASH_CRC",
    codes.NOT_DECRYPTED: "compare key, scheme and AAD with the gateway's; `cpmqr explain` says which step fails",
    codes.HASH_WRONG: "compare the canonical text with the gateway's; `cpmqr explain` prints it",
    codes.PLAINTEXT_WRONG: "seal `PAN|yyyymmddHHMMSS|trace no|`, and send the same trace number outside",
    codes.TIME_OUTSIDE: "set this machine's clock; the request time is Korean time (UTC+9)",
    codes.NO_TOKEN: "check the digital PAN: it must be one of this requestor's",
    codes.TOKEN_SUSPENDED: "the operator can resume it: `cpmqr token resume`",
    codes.TOKEN_DELETED: "provision a new token: this one does not come back",
    codes.TOKEN_EXPIRED: "provision a new token: this one's expiry is past",
    codes.ATC_EXHAUSTED: "provision a new token: this one has made 65,535 QRs",
    codes.DUPLICATE_TRACE: "take a new trace number; to repeat a request give its trace number and its time",
    codes.NO_QR: "check the handle (QR_DATA_MAPP_VAL)",
    codes.QR_EXPIRED: "ask for a new QR",
    codes.QR_USED: "ask for a new QR: each pays once",
    codes.QR_REVOKED: "ask for a new QR",
    codes.CRYPTOGRAM_WRONG: "the payload was not issued here, or was changed",
    codes.RATE_LIMIT: "wait, and send less often",
    codes.OVERLOADED: "wait, and send it again",
    codes.KEY_STORE: "wait, and send it again; the operator's `cpmqr doctor` looks at the keys",
    codes.TIMED_OUT: "send it again with the same trace number and time: a QR may have been issued",
    codes.INTERNAL: "send it again with the same trace number and time; tell the operator the incident's id",
}


def advice_on(refused: Refused) -> list[str]:
    """Give a refusal's meaning in English and what to do next, as far as the catalogue knows the code."""
    code = codes.CODES.get(refused.rslt_cd)
    if code is None:
        return []
    hints = [f"meaning: {code.meaning}", f"next: {ADVICE[refused.rslt_cd]}"]
    if refused.retry_after_s is not None:
        hints.append(f"the gateway asks to wait {refused.retry_after_s} s")
    return hints
