"""The wallet that the console plays: it draws up requests, right ones and wrong ones, and the browser sends them.

Nothing is sent from here, so what the page shows is what went over the wire. Sealing happens here since SEED is no
part of a browser's own cryptography, and so that one set of lines seals for every CRYPTO_TYPE.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from cpmqr.crypto.blocks import hmac_sha256
from cpmqr.crypto.suites import Entropy, Suite
from cpmqr.model import HashMode
from cpmqr.server.paygw import PAYGW_PATH
from cpmqr.service.issue import korean_text
from cpmqr.wire import contract, envelope, sealed

VERIFICATIONS_PATH: Final = "/v1/verifications"
JSON_UTF8: Final = "application/json; charset=utf-8"
SIGNED_WITH_KEY: Final = "01"  # whose key version type 00 names, since it has no key of its own
_TRACE_RANDOM_BYTES: Final = 10  # 16 letters of Base32 behind 16 of time: 32 of a trace number's 40 bytes


class TransportKey(Protocol):
    """A key for one CRYPTO_TYPE."""

    @property
    def key_ver(self) -> str: ...
    @property
    def key_hex(self) -> str: ...


class HashCrcKey(Protocol):
    """What HASH_CRC is made with."""

    @property
    def mode(self) -> str: ...
    @property
    def key_hex(self) -> str: ...


class SeededToken(Protocol):
    """A token that the sandbox made up."""

    @property
    def pan(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def profile(self) -> str: ...
    @property
    def expiry(self) -> str: ...


class Held(Protocol):
    """Whoever holds a credential."""

    @property
    def authorization(self) -> str: ...


class SuspendedRequestor(Held, Protocol):
    """A requestor that is suspended."""

    @property
    def requestor_id(self) -> str: ...


class Seeds(Held, Protocol):
    """What the console needs of `sandbox.json`: the same as any other client of the sandbox."""

    @property
    def requestor_id(self) -> str: ...
    @property
    def crypto_types(self) -> Mapping[str, TransportKey]: ...
    @property
    def hash_crc(self) -> HashCrcKey: ...
    @property
    def tokens(self) -> Sequence[SeededToken]: ...
    @property
    def authoriser(self) -> Held: ...
    @property
    def suspended_requestor(self) -> SuspendedRequestor: ...
    @property
    def refused_key_versions(self) -> Mapping[str, str]: ...


class Prepared(msgspec.Struct, frozen=True):
    """An HTTP request for the browser to send. The headers hold a sandbox credential."""

    method: str
    path: str
    headers: dict[str, str]
    body: str

    def __repr__(self) -> str:
        return f"<prepared {self.method} {self.path}>"


class Draft:
    """A request in the making: seal, sign, envelope. Recipes of refusals put something wrong in between.

    Attributes:
        plain: what ENC_DATA will hold. members: REQUEST, filled by `seal` and `sign`.
        headers: HTTP headers. paygw: REQID and VERSION.
    """

    def __init__(self, wallet: Wallet, pan: str, crypto_type: str, trace_no: str, at_s: int) -> None:
        self._wallet = wallet
        seeds = wallet.seeds
        self.request_time = korean_text(at_s)
        self.plain = sealed.plaintext(pan, self.request_time, trace_no)
        self.paygw = {"REQID": envelope.REQID, "VERSION": envelope.VERSION}
        self.headers = {"Authorization": seeds.authorization, "Content-Type": JSON_UTF8}
        self.members = {
            "REQUESTOR_ID": seeds.requestor_id,
            "MSG_CD": contract.MSG_CD,
            "MSG_VER": contract.MSG_VER,
            "CRYPTO_TYPE": crypto_type,
            "CRYPTO_KEY_VER": wallet.key_version(crypto_type),
            "TRNS_TRCE_NO": trace_no,
            "RSLT_TYPE": contract.RSLT_TYPE,
            "REG_ATON": self.request_time,
            "DNF_DV": "1",
        }

    def seal(self) -> Draft:
        """Put ENC_DATA in."""
        members = self.members
        aad = sealed.associated_data(
            members["REQUESTOR_ID"], members["CRYPTO_KEY_VER"], members["TRNS_TRCE_NO"]
        )
        blob = self._wallet.seal(members["CRYPTO_TYPE"], self.plain, aad)
        members["ENC_DATA"] = base64.b64encode(blob).decode()
        return self

    def sign(self) -> Draft:
        """Put HASH_CRC in, over what is there now."""
        self.members["HASH_CRC"] = self._wallet.hash_crc(self.members)
        return self

    def ready(self) -> Prepared:
        """Give it as it is."""
        body = json.dumps({"PAYGW": {**self.paygw, "REQUEST": self.members}}, ensure_ascii=False, indent=2)
        return Prepared("POST", PAYGW_PATH, self.headers, body)


class Wallet:
    """Draws up requests as the sandbox's requestor, and as its authoriser.

    Args:
        suites: CRYPTO_TYPE → scheme. now: seconds since the Unix epoch.
    """

    def __init__(
        self, seeds: Seeds, suites: Mapping[str, Suite], now: Callable[[], float], entropy: Entropy
    ) -> None:
        self.seeds = seeds
        self.entropy = entropy
        self._suites = suites
        self._now = now

    @property
    def now_s(self) -> int:
        """Give the gateway's time: the console's wallet has no clock of its own to be wrong."""
        return int(self._now())

    def trace_no(self) -> str:
        """Make a trace number up: it sorts by time, and no run of digits in it looks like a PAN."""
        now = korean_text(self.now_s)
        random = base64.b32encode(self.entropy(_TRACE_RANDOM_BYTES)).decode()
        return f"{now[:8]}T{now[8:]}C{random}"

    def draft(
        self, *, pan: str = "", crypto_type: str = "01", trace_no: str = "", at_s: int | None = None
    ) -> Draft:
        """Begin a request: by default for the first token, with a new trace number, now."""
        return Draft(
            self,
            pan or self.seeds.tokens[0].pan,
            crypto_type,
            trace_no or self.trace_no(),
            self.now_s if at_s is None else at_s,
        )

    def verification(self, payload: str) -> Prepared:
        """Ask as the authoriser whether a payload is good; each asking is one of its own."""
        body = {"authorization_id": f"console-{self.entropy(8).hex()}", "payload": payload}
        headers = {"Authorization": self.seeds.authoriser.authorization, "Content-Type": JSON_UTF8}
        return Prepared("POST", VERIFICATIONS_PATH, headers, json.dumps(body, indent=2))

    def revocation(self, mapping_value: str) -> Prepared:
        """Revoke a QR, as its requestor."""
        headers = {"Authorization": self.seeds.authorization, "Content-Type": JSON_UTF8}
        return Prepared("POST", f"/v1/qrs/{mapping_value}/revoke", headers, "{}")

    def pan_of(self, state: str) -> str:
        """Give a seeded PAN in a state, or one that nobody has where there is none."""
        return next((token.pan for token in self.seeds.tokens if token.state == state), UNKNOWN_PAN)

    def key_version(self, crypto_type: str) -> str:
        """Give the CRYPTO_KEY_VER to name with a CRYPTO_TYPE."""
        keys = self.seeds.crypto_types
        return keys[crypto_type if crypto_type in keys else SIGNED_WITH_KEY].key_ver

    def seal(self, crypto_type: str, plain: bytes, aad: bytes) -> bytes:
        """Encrypt with the sandbox file's key."""
        key = self.seeds.crypto_types.get(crypto_type)
        opener = self._suites[crypto_type].opener(bytes.fromhex(key.key_hex) if key else b"")
        return opener.seal(plain, aad, self.entropy)

    def hash_crc(self, members: Mapping[str, str]) -> str:
        """Compute HASH_CRC as the sandbox file says."""
        crc = self.seeds.hash_crc
        mac = hmac_sha256(bytes.fromhex(crc.key_hex))
        return sealed.hash_crc(HashMode(crc.mode), mac, sealed.request_text(members))


UNKNOWN_PAN: Final = "4000000000000002"  # Luhn-correct, and of no range that the sandbox seeds
