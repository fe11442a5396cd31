"""A good request that can be spoilt in several ways at once, and the ways, in the contract's order of checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests import by_hand
from tests.in_process import JSON_TYPE, House

from cpmqr.service.issue import Reply


class Draft:
    """A request that can be spoilt in several ways at once."""

    def __init__(self, wallet: by_hand.Wallet) -> None:
        self.content_type = JSON_TYPE
        self.authorization: str | None = wallet.authorization
        self.body: bytes | None = None
        self.reqid, self.version = "cpmqrdatareq", "1.0"
        self.others: dict[str, str | None] = {}
        self.crypto_type, self.sealed = "01", None
        self.pan, self.time, self.inner_trace_no = wallet.pan(), by_hand.korean_now(), ""
        self.trace_no = by_hand.new_trace_no()
        self.hash_crc: str | None = None

    async def send(self, house: House) -> Reply:
        members = house.wallet.members(
            trace_no=self.trace_no,
            plaintext=f"{self.pan}|{self.time}|{self.inner_trace_no or self.trace_no}|",
            crypto_type=self.crypto_type,
            key=None if self.crypto_type in house.wallet.known["crypto_types"] else bytes(32),
            sealed=self.sealed,
            **self.others,
        )
        members = house.wallet.sign(members)
        if self.hash_crc is not None:
            members["HASH_CRC"] = self.hash_crc
        body = by_hand.body_of(members, self.reqid, self.version) if self.body is None else self.body
        return await house.send(body=body, authorization=self.authorization, content_type=self.content_type)


USED_TRACE_NO = "T-used"


def _set(**values: Any) -> Callable[[Draft, by_hand.Wallet], None]:
    def spoil(draft: Draft, _: by_hand.Wallet) -> None:
        for name, value in values.items():
            setattr(draft, name, value)

    return spoil


def _member(name: str, value: str | None) -> Callable[[Draft, by_hand.Wallet], None]:
    return lambda draft, _: draft.others.update({name: value})


def _token(state: str) -> Callable[[Draft, by_hand.Wallet], None]:
    def spoil(draft: Draft, wallet: by_hand.Wallet) -> None:
        draft.pan = "4222222222222" if state == "unknown" else wallet.pan(state)

    return spoil


# In the contract's order (§6). Faults with one letter behind the code are of one place and can't be combined.
FAULTS: dict[str, Callable[[Draft, by_hand.Wallet], None]] = {
    "1007": _set(content_type="text/plain"),
    "2001": _set(authorization="unknown"),
    "1001": _set(body=b'{"PAYGW":'),
    "1004e": _set(reqid="other"),
    "1005e": _set(version="2.0"),
    "1002": _member("MSG_VER", None),
    "1003": _member("RSLT_TYPE", "XML"),
    "1004m": _member("MSG_CD", "Q999"),
    "1005m": _member("MSG_VER", "99"),
    "2002": _member("REQUESTOR_ID", "42000000067"),
    "3001": _set(crypto_type="99"),
    "3002": _member("CRYPTO_KEY_VER", "77"),
    "3004": _set(hash_crc="AAAA"),
    "3003": _set(sealed=bytes(60)),
    "3005": _set(inner_trace_no="another"),
    "5001": _set(trace_no=USED_TRACE_NO),
    "3006": _set(time="20200101000000"),
    "4001": _token("unknown"),
    "4003": _token("deleted"),
    "4002": _token("suspended"),
    "4004": _token("expired"),
    "4006": _token("exhausted"),
}
ONE_PLACE = [{"1002", "1005m"}, {"3003", "3005"}, {"4001", "4002", "4003", "4004", "4006"}]
