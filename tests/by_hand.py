"""A wallet written from the contract alone: it seals, signs and checks with no line of cpmqr's.

The tests that go through the front door use it, so that a fault which gateway and client share can't hide.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography.hazmat.decrepit.ciphers.algorithms import SEED, TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES

PATH = "/paygw/cpmqrdatareq"
KOREA = timezone(timedelta(hours=9))
TABLE_SPELLING = {"MSG_CD": "MSG_ID", "CRYPTO_TYPE": "CRTPYO_TYPE", "TRNS_TRCE_NO": "TRNS_TRACE_NO"}
CANONICAL = {other: name for name, other in TABLE_SPELLING.items()}
COVERED = {
    "REQUESTOR_ID", "MSG_CD", "MSG_VER", "CRYPTO_TYPE", "CRYPTO_KEY_VER", "TRNS_TRCE_NO", "ENC_DATA", "RSLT_TYPE",
    "REG_ATON", "REQ_KEY_DV", "CPMQR_DATA_CLSS", "DNF_DV", "APP_DV",
}  # fmt: skip
COVERED_IN_ANSWERS = {
    "CPMQR_DATA", "CRYPTO_KEY_VER", "CRYPTO_TYPE", "MSG_VER", "RSLT_TYPE", "MSG_CD", "REQUESTOR_ID",
    "QR_DATA_MAPP_VAL", "RSLT_CD", "RSLT_MSG",
}  # fmt: skip

_numbers = itertools.count(1)
_RUN = os.urandom(4).hex()


def new_trace_no() -> str:
    """A trace number that no other test has used."""
    return f"T{_RUN}-{next(_numbers)}"


def korean_now(shift_s: float = 0) -> str:
    return (datetime.now(KOREA) + timedelta(seconds=shift_s)).strftime("%Y%m%d%H%M%S")


def seal(crypto_type: str, key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    if crypto_type == "00":
        return plaintext
    if crypto_type not in ("02", "11"):
        nonce = os.urandom(12)
        return nonce + AESGCM(key).encrypt(nonce, plaintext, aad)
    algorithm = AES(key) if crypto_type == "02" else SEED(key)
    pad = 16 - len(plaintext) % 16
    iv = os.urandom(16)
    encryptor = Cipher(algorithm, modes.CBC(iv)).encryptor()
    return iv + encryptor.update(plaintext + bytes([pad]) * pad) + encryptor.finalize()


def hash_crc(key: bytes | None, members: dict[str, str], covered: set[str]) -> str:
    """HMAC, or plain SHA-256 where there is no key."""
    named = {CANONICAL.get(name, name): value for name, value in members.items()}
    text = "".join(f"{name}={named[name]}\n" for name in sorted(named) if name in covered).encode()
    digest = hmac.new(key, text, hashlib.sha256).digest() if key else hashlib.sha256(text).digest()
    return base64.b64encode(digest).decode()


@dataclass
class Wallet:
    """What a requestor knows, as sandbox.json has it."""

    known: dict[str, Any]
    authorization: str = field(init=False)

    def __post_init__(self) -> None:
        self.authorization = self.known["authorization"]

    @classmethod
    def from_file(cls, path: Path) -> Wallet:
        return cls(json.loads(path.read_text("utf-8")))

    def pan(self, state: str = "active", profile: str = "bc-domestic") -> str:
        return next(
            token["pan"]
            for token in self.known["tokens"]
            if token["state"] == state and token["profile"] == profile
        )

    @property
    def hash_key(self) -> bytes:
        return bytes.fromhex(self.known["hash_crc"]["key_hex"])

    def members(
        self,
        *,
        pan: str | None = None,
        trace_no: str | None = None,
        time: str | None = None,
        crypto_type: str = "01",
        plaintext: str | None = None,
        key: bytes | None = None,
        sealed: bytes | None = None,
        **others: str | None,
    ) -> dict[str, str]:
        """Build the members of a request, sealed but not signed; a member that is given as None is left out."""
        trace_no = new_trace_no() if trace_no is None else trace_no
        if plaintext is None:
            plaintext = f"{pan or self.pan()}|{time or korean_now()}|{trace_no}|"
        if key is None and crypto_type in self.known["crypto_types"]:
            key = bytes.fromhex(self.known["crypto_types"][crypto_type]["key_hex"])
        key_ver = others.get("CRYPTO_KEY_VER") or "00"
        aad = f"cpmqrdatareq|{self.known['requestor_id']}|{key_ver}|{trace_no}".encode()
        blob = seal(crypto_type, key or b"", plaintext.encode(), aad) if sealed is None else sealed
        members: dict[str, str | None] = {
            "CRYPTO_KEY_VER": key_ver,
            "CRYPTO_TYPE": crypto_type,
            "MSG_VER": "01",
            "REQUESTOR_ID": self.known["requestor_id"],
            "MSG_CD": "Q200",
            "TRNS_TRCE_NO": trace_no,
            "ENC_DATA": base64.b64encode(blob).decode(),
            **others,
        }
        return {name: value for name, value in members.items() if value is not None}

    def sign(self, members: dict[str, str]) -> dict[str, str]:
        return {**members, "HASH_CRC": hash_crc(self.hash_key, members, COVERED)}

    def signed(self, **wishes: Any) -> dict[str, str]:
        return self.sign(self.members(**wishes))

    def believes(self, response: dict[str, str]) -> bool:
        """The answer's HASH_CRC is right."""
        return response["HASH_CRC"] == hash_crc(self.hash_key, response, COVERED_IN_ANSWERS)


def table_spelling(members: dict[str, str]) -> dict[str, str]:
    """The same members under the names of the page's table."""
    return {TABLE_SPELLING.get(name, name): value for name, value in members.items()}


def body_of(members: dict[str, Any], reqid: str = "cpmqrdatareq", version: str = "1.0") -> bytes:
    envelope = {"PAYGW": {"REQID": reqid, "VERSION": version, "REQUEST": members}}
    return json.dumps(envelope, ensure_ascii=False).encode()


def response_of(body: bytes) -> dict[str, str]:
    """Take an answer's envelope apart, and insist on its shape."""
    tree = json.loads(body.decode("utf-8"))
    assert tree.keys() == {"PAYGW"}
    paygw = tree["PAYGW"]
    assert paygw.keys() == {"REQID", "VERSION", "RESPONSE"}
    assert (paygw["REQID"], paygw["VERSION"]) == ("cpmqrdatareq", "1.0")
    assert all(isinstance(value, str) for value in paygw["RESPONSE"].values())
    return paygw["RESPONSE"]


def objects_of(payload: bytes) -> list[tuple[str, bytes]]:
    """Read BER-TLV with lengths of one or two bytes, as far as bc-domestic needs it."""
    objects, place = [], 0
    while place < len(payload):
        width = 2 if payload[place] & 0x1F == 0x1F else 1
        tag = payload[place : place + width].hex().upper()
        place += width
        length, place = payload[place], place + 1
        if length == 0x81:
            length, place = payload[place], place + 1
        assert length < 0x80 or payload[place - 2] == 0x81
        assert place + length <= len(payload)
        objects.append((tag, payload[place : place + length]))
        place += length
    return objects


def fields_of(cpmqr_data: str) -> dict[str, bytes]:
    """The primitives of a bc-domestic payload, by tag."""
    (version, (template_tag, template)) = objects_of(base64.b64decode(cpmqr_data, validate=True))
    assert version == ("85", b"CPV01")
    assert template_tag == "61"
    outer = dict(objects_of(template))
    return {**outer, **dict(objects_of(outer["63"]))}


def atc_of(cpmqr_data: str) -> int:
    return int.from_bytes(fields_of(cpmqr_data)["9F36"], "big")


def _tdes(key: bytes, block: bytes) -> bytes:
    encryptor = Cipher(TripleDES(key + key[:8]), modes.ECB()).encryptor()
    return encryptor.update(block) + encryptor.finalize()


def _inverted(block: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in block)


def cryptogram(master_key: bytes, pan: str, psn: str, atc: bytes, covered: bytes) -> bytes:
    """EMV Book 2 A1.4.1 option A, common session key, ISO/IEC 9797-1 algorithm 3 with padding method 2."""
    pointer = bytes.fromhex((pan + psn)[-16:].zfill(16))
    icc_key = _tdes(master_key, pointer) + _tdes(master_key, _inverted(pointer))
    session_key = _tdes(icc_key, atc + b"\xf0" + bytes(5)) + _tdes(icc_key, atc + b"\x0f" + bytes(5))
    padded = covered + b"\x80" + bytes(-(len(covered) + 1) % 8)
    left = Cipher(TripleDES(session_key[:8] * 3), modes.CBC(bytes(8))).encryptor()
    chained = (left.update(padded[:-8]) + left.finalize())[-8:] if len(padded) > 8 else bytes(8)
    last = bytes(a ^ b for a, b in zip(chained, padded[-8:], strict=True))
    return _tdes(session_key, last)  # the last block: encrypt left, decrypt right, encrypt left
