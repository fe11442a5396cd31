"""The nouns that all rooms share. Frozen; whatever is secret prints masked and opens with `.reveal()`.

Times are whole seconds since the Unix epoch (`_at_s`) in storage and on the hot path, aware UTC datetimes
(`_at`) where people read them. Korean time appears on the PAYGW wire alone.
"""

from __future__ import annotations

import enum
from typing import Final

from cpmqr.record import Frozen

PAN_DIGITS_MIN: Final = 13
PAN_DIGITS_MAX: Final = 19
ATC_MAX: Final = 0xFFFF  # the counter is two bytes (9F36)


def luhn_ok(digits: str) -> bool:
    """Tell whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1 Annex B)."""
    octets = digits.encode()
    # An octet of a digit is 48 more than the digit; what is doubled is translated to its value at once.
    total = sum(octets[-1::-2]) - 48 * ((len(octets) + 1) // 2) + sum(octets[-2::-2].translate(_DOUBLED))
    return total % 10 == 0


_DOUBLED: Final = bytes.maketrans(
    b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9))
)  # 2d with its digits summed


def mask_pan(pan: str) -> str:
    """Show the first six and the last four digits, as PCI DSS 3.4.1 allows; shorter input shows nothing."""
    if len(pan) < PAN_DIGITS_MIN:
        return "*" * len(pan)
    return f"{pan[:6]}{'*' * (len(pan) - 10)}{pan[-4:]}"


class TokenPan:
    """A digital PAN: 13 to 19 digits, Luhn-correct. Prints as 535020******0066.

    Raises:
        ValueError: not digits, too short or long, or the check digit is wrong; the value is not repeated.
    """

    __slots__ = ("_digits",)

    def __init__(self, digits: str) -> None:
        if not (PAN_DIGITS_MIN <= len(digits) <= PAN_DIGITS_MAX and digits.isascii() and digits.isdigit()):
            raise ValueError(f"a PAN is {PAN_DIGITS_MIN} to {PAN_DIGITS_MAX} digits")
        if not luhn_ok(digits):
            raise ValueError("the PAN's check digit is wrong (Luhn)")
        self._digits = digits

    def reveal(self) -> str:
        """Give the digits in clear; every use of this name is a place for the audit."""
        return self._digits

    def __repr__(self) -> str:
        return mask_pan(self._digits)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenPan) and other._digits == self._digits

    def __hash__(self) -> int:
        return hash(self._digits)


class Secret:
    """Key or credential bytes that print as `<secret>`."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Give the bytes in clear."""
        return self._value

    def __repr__(self) -> str:
        return "<secret>"


class TokenState(enum.StrEnum):
    """A token's life. Expiry and exhaustion are not states: they follow from `expiry` and `atc`."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"


class IssueState(enum.StrEnum):
    """What became of a QR. "expired" is not stored: it follows from `expires_at_s`."""

    ISSUED = "issued"
    USED = "used"
    REVOKED = "revoked"


class HashMode(enum.StrEnum):
    """What HASH_CRC means for a requestor (contract §4)."""

    OFF = "off"
    SHA256 = "sha256"
    HMAC_SHA256 = "hmac-sha256"


class Role(enum.StrEnum):
    """What a credential may ask for."""

    REQUESTOR = "requestor"
    AUTHORISER = "authoriser"
    OPERATOR = "operator"


class KeyPurpose(enum.StrEnum):
    """What a key is for; a key serves one purpose only."""

    TRANSPORT = "transport"  # opens ENC_DATA; owner: requestor, name: CRYPTO_TYPE
    HASH_CRC = "hash-crc"  # HMAC of HASH_CRC; owner: requestor
    ISSUER_MASTER = "issuer-master"  # cryptograms; owner: profile, version: derivation key index (hex)
    VAULT_PAN = "vault-pan"  # encrypts PANs at rest
    VAULT_INDEX = "vault-index"  # blind index of a PAN, digest of a request
    MAPPING = "mapping"  # QR_DATA_MAPP_VAL
    WEBHOOK = "webhook"  # signs notifications; owner: requestor


class KeyState(enum.StrEnum):
    """A key version's life: a pending one is not accepted yet, a retired one only opens what is old."""

    PENDING = "pending"
    ACTIVE = "active"
    RETIRED = "retired"


class WrappedKey(Frozen):
    """A key version as it is stored: wrapped under a key-encryption key, never in clear.

    Attributes:
        purpose, owner, name, version: together unique. `owner` is a requestor id, a profile's name or "";
            `name` the CRYPTO_TYPE of a transport key, else ""; `version` the CRYPTO_KEY_VER, the derivation key
            index as 2 hex digits, or a running number.
        algorithm: "aes-256", "aes-128", "seed-128", "tdes-112", "hmac-sha256", or a plugged-in suite's name.
        kcv: check value, 6 hex digits; all that is ever shown of a key.
        wrapped: what `keys` made of it; opaque here.
        kek_id: names the key-encryption key that opens it.
    """

    purpose: KeyPurpose
    owner: str
    name: str
    version: str
    algorithm: str
    state: KeyState
    kcv: str
    wrapped: bytes
    kek_id: str
    created_at_s: int
    activated_at_s: int | None = None
    retired_at_s: int | None = None

    def __repr__(self) -> str:
        which = f"{self.purpose} {self.owner or '-'} {self.name or '-'} v{self.version}"
        return f"<key {which} {self.state} kcv {self.kcv}>"


class Requestor(Frozen):
    """A wallet's company, or an authoriser or operator of our own, as configured.

    Attributes:
        requestor_id: 11 digits (TSP contract); authorisers and operators have a name instead.
        crypto_types: codes that it may use; empty means every configured one but the sandbox's 00.
        networks: source networks in CIDR form; empty means any.
        rate_limit_per_s, token_rate_limit_per_s: 0 means none.
        webhook_url: where results are told, or "".
    """

    requestor_id: str
    name: str
    role: Role
    suspended: bool
    sandbox: bool
    hash_crc: HashMode
    crypto_types: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    rate_limit_per_s: int = 0
    token_rate_limit_per_s: int = 0
    webhook_url: str = ""
    created_at_s: int = 0


class Credential(Frozen):
    """A pre-shared credential, known by its SHA-256 alone (32 random bytes need no slow hash)."""

    credential_id: str
    requestor_id: str
    digest: bytes
    created_at_s: int
    revoked_at_s: int | None = None


class Token(Frozen):
    """A digital PAN's record. The PAN itself is in `pan_sealed`, and found by `pan_index`.

    Attributes:
        token_id: 63 random bits.
        pan_index: 16 bytes, keyed hash of the PAN under the vault index key.
        pan_sealed: nonce, AES-256-GCM ciphertext and tag; `vault_key_ver` names its key.
        pan_masked: first six and last four.
        psn: card sequence number, 2 digits. expiry: yymm. service_code: 3 digits.
        discretionary: track-2 discretionary digits.
        atc: the last counter used; 0 before the first issue.
        funding_ref: the issuer's own opaque reference to what is charged.
    """

    token_id: int
    requestor_id: str
    pan_index: bytes
    pan_sealed: bytes
    vault_key_ver: str
    pan_masked: str
    psn: str
    expiry: str
    service_code: str
    discretionary: str
    profile: str
    state: TokenState
    atc: int
    funding_ref: str
    created_at_s: int


class Issue(Frozen):
    """One issued QR: the inputs only; cryptogram and payload are computed anew when asked for."""

    token_id: int
    atc: int
    requestor_id: str
    trace_no: str
    profile: str
    dki: str
    unpredictable_number: bytes
    issued_at_s: int
    expires_at_s: int
    state: IssueState
    app_dv: str
    used_at_s: int | None = None
