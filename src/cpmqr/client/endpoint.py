"""What a client of `/v1` must know: where, with which credential, and how patient to be. Nothing secret in a repr."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec

from cpmqr.client.config import FILE_BYTES_MAX, SANDBOX_FILE
from cpmqr.client.settings import is_loopback_url
from cpmqr.errors import ConfigError

ATTEMPTS_MAX: Final = 10  # ours: more is hammering
TIMEOUT_MAX_S: Final = 300.0

Side = Literal["requestor", "authoriser", "operator"]


class _Credential(msgspec.Struct, frozen=True):
    authorization: str

    def __repr__(self) -> str:
        return "<credential>"


class _SandboxFile(msgspec.Struct, frozen=True):
    """What all three sides need of sandbox.json (contract §8)."""

    base_url: str
    authorization: str
    authoriser: _Credential
    operator: _Credential

    def __repr__(self) -> str:
        return f"<sandbox at {self.base_url}>"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One gateway's `/v1`, as one credential sees it.

    Attributes:
        base_url: https://host[:port][/prefix]; http:// to loopback alone, unless `insecure`.
        authorization: the pre-shared credential.
        ca_bundle: a file of certificates to trust in place of the system's. proxy: http://host:port to go through.
        headers: sent along, for what stands in front of a gateway.
        timeout_s: for one attempt. attempts_max: 1 means no retry; only what is safe to repeat is tried again.
        first_pause_s: the n-th pause is drawn between 0 and first_pause_s × 2ⁿ⁻¹.

    Raises:
        ConfigError: says which of them is wrong, and never the credential.
    """

    base_url: str
    authorization: str = field(repr=False)
    ca_bundle: str = ""
    proxy: str = field(default="", repr=False)
    insecure: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 5.0
    attempts_max: int = 3
    first_pause_s: float = 0.2

    def __post_init__(self) -> None:
        if not is_loopback_url(self.base_url) and self.base_url.startswith("http://") and not self.insecure:
            raise ConfigError(
                "base_url is http:// to another machine: anyone on the way reads the credential. Use https://, or say"
                " insecure if the way is protected otherwise"
            )
        for text in (self.authorization, *self.headers, *self.headers.values()):
            if not (isinstance(text, str) and text and text.isascii() and text.isprintable()):
                raise ConfigError("authorization and headers are printable ASCII")
        if not 0 < self.timeout_s <= TIMEOUT_MAX_S:
            raise ConfigError(f"timeout_s is above 0 and at most {TIMEOUT_MAX_S:.0f}")
        if not 1 <= self.attempts_max <= ATTEMPTS_MAX:
            raise ConfigError(f"attempts_max is 1 to {ATTEMPTS_MAX}")

    @property
    def url(self) -> str:
        """Give the address that all calls begin with."""
        return self.base_url.rstrip("/")

    @classmethod
    def from_sandbox(cls, path: str | Path = SANDBOX_FILE, *, side: Side) -> Endpoint:
        """Take address and credential from the file that `cpmqr serve --sandbox` writes.

        Raises:
            ConfigError: it can't be read, or is not what the sandbox writes.
        """
        file = _read(path)
        credentials = {
            "requestor": file.authorization,
            "authoriser": file.authoriser.authorization,
            "operator": file.operator.authorization,
        }
        return cls(file.base_url, credentials[side])


def _read(path: str | Path) -> _SandboxFile:
    try:
        with Path(path).open("rb") as file:
            return msgspec.json.decode(file.read(FILE_BYTES_MAX), type=_SandboxFile)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {path}: start `cpmqr serve --sandbox` here first, or say where its file is"
        ) from None
    except (OSError, ValueError, TypeError, RecursionError):  # msgspec's errors are ValueErrors
        raise ConfigError(f"{path} is not a file that `cpmqr serve --sandbox` wrote") from None
