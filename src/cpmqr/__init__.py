"""cpmqr: the token gateway behind "show the QR on your phone to pay", its wallet client and an EMV toolkit.

    payload = cpmqr.decode("hQVDUFYw…")               # Base64, hex or bytes
    findings = cpmqr.validate(payload)                # every rule that it breaks, with its place
    with cpmqr.Wallet.from_sandbox() as wallet:       # the file that `cpmqr serve --sandbox` writes
        qr = wallet.request_qr(pan="5350206900000066")
        print(qr.terminal())

`import cpmqr` loads the errors alone; each other name is loaded when it is first used, so a program that only
decodes pays for no HTTP client.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from cpmqr.errors import (
    ConfigError,
    CpmqrError,
    DecodeError,
    EncodeError,
    KeyUnavailable,
    OutcomeUnknown,
    ProfileError,
    Refusal,
    Refused,
    StoreUnavailable,
    Unreachable,
    UnsealError,
    UntrustedAnswer,
)

if TYPE_CHECKING:
    from cpmqr.client.async_wallet import AsyncWallet
    from cpmqr.client.authoriser import AsyncAuthoriser, Authoriser
    from cpmqr.client.issued import IssuedQrs
    from cpmqr.client.operator import Operator
    from cpmqr.client.qrdata import QrData
    from cpmqr.client.settings import HashCrc, Transport
    from cpmqr.client.wallet import Wallet
    from cpmqr.emv.cpm import Payload, decode
    from cpmqr.emv.cryptogram import generate_arqc, verify_arqc
    from cpmqr.emv.encode import encode
    from cpmqr.emv.explain import explain
    from cpmqr.emv.profile import Profile
    from cpmqr.emv.rules import validate
    from cpmqr.emv.till import Till

__all__ = [
    "AsyncAuthoriser",
    "AsyncWallet",
    "Authoriser",
    "ConfigError",
    "CpmqrError",
    "DecodeError",
    "EncodeError",
    "HashCrc",
    "IssuedQrs",
    "KeyUnavailable",
    "Operator",
    "OutcomeUnknown",
    "Payload",
    "Profile",
    "ProfileError",
    "QrData",
    "Refusal",
    "Refused",
    "StoreUnavailable",
    "Till",
    "Transport",
    "Unreachable",
    "UnsealError",
    "UntrustedAnswer",
    "Wallet",
    "decode",
    "encode",
    "explain",
    "generate_arqc",
    "validate",
    "verify_arqc",
]

_HOME: Final = {
    "AsyncAuthoriser": "cpmqr.client.authoriser",
    "AsyncWallet": "cpmqr.client.async_wallet",
    "Authoriser": "cpmqr.client.authoriser",
    "HashCrc": "cpmqr.client.settings",
    "IssuedQrs": "cpmqr.client.issued",
    "Operator": "cpmqr.client.operator",
    "Payload": "cpmqr.emv.cpm",
    "Profile": "cpmqr.emv.profile",
    "QrData": "cpmqr.client.qrdata",
    "Till": "cpmqr.emv.till",
    "Transport": "cpmqr.client.settings",
    "Wallet": "cpmqr.client.wallet",
    "decode": "cpmqr.emv.cpm",
    "encode": "cpmqr.emv.encode",
    "explain": "cpmqr.emv.explain",
    "generate_arqc": "cpmqr.emv.cryptogram",
    "validate": "cpmqr.emv.rules",
    "verify_arqc": "cpmqr.emv.cryptogram",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'cpmqr' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value  # found at once the next time
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
