"""The schemes behind CRYPTO_TYPE: seal a plaintext, unseal it again (contract §3).

A suite is a recipe; `opener(key)` keeps what is costly to make (an AES-GCM context, say), so that a gateway pays
for it once a key and not once a request. Randomness is handed in. A suite of another package joins by the entry
point group `cpmqr.suites`; the edge loads it with `register`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import SEED
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from cpmqr.errors import ConfigError, UnsealError

Entropy = Callable[[int], bytes]

GCM_NONCE_BYTES: Final = 12
GCM_TAG_BYTES: Final = 16
BLOCK_BYTES: Final = 16  # AES and SEED alike

DEFAULT_CRYPTO_TYPES: Final[dict[str, str]] = {
    "00": "none",
    "01": "aes-256-gcm",
    "02": "aes-256-cbc",
    "11": "seed-128-cbc",
}


class Opener(Protocol):
    """A suite with its key: what a request is sealed and unsealed with."""

    def seal(self, plaintext: bytes, aad: bytes, entropy: Entropy) -> bytes:
        """Encrypt; `entropy(n)` gives n fresh random bytes for nonce or IV."""
        ...

    def unseal(self, blob: bytes, aad: bytes) -> bytes:
        """Decrypt.

        Raises:
            UnsealError: too short, padding or tag wrong; its text names the cause and is not for the sender.
        """
        ...


class Suite(Protocol):
    """One scheme.

    Attributes:
        name: as the configuration's table names it.
        key_bytes: length of its key; 0 where it takes none.
        needs_hmac: the scheme does not authenticate, so HASH_CRC in HMAC mode is compulsory with it.
        sandbox_only: refused for requestors that are not marked as sandbox.
    """

    name: str
    key_bytes: int
    needs_hmac: bool
    sandbox_only: bool

    def opener(self, key: bytes) -> Opener:
        """Keep a key ready.

        Raises:
            ConfigError: the key's length is not `key_bytes`.
        """
        ...


class _Clear:
    """No encryption: for the sandbox, where a newcomer wants to see what he sends."""

    name = "none"
    key_bytes = 0
    needs_hmac = False
    sandbox_only = True

    def opener(self, key: bytes) -> Opener:
        check_key(self, key)
        return self

    def seal(self, plaintext: bytes, aad: bytes, entropy: Entropy) -> bytes:
        return plaintext

    def unseal(self, blob: bytes, aad: bytes) -> bytes:
        return blob


class _Gcm:
    """AES-256-GCM: 12-byte nonce, ciphertext, 16-byte tag."""

    name = "aes-256-gcm"
    key_bytes = 32
    needs_hmac = False
    sandbox_only = False

    def opener(self, key: bytes) -> Opener:
        check_key(self, key)
        return _GcmOpener(key)


class _GcmOpener:
    __slots__ = ("_gcm",)

    def __init__(self, key: bytes) -> None:
        self._gcm = AESGCM(key)

    def seal(self, plaintext: bytes, aad: bytes, entropy: Entropy) -> bytes:
        nonce = entropy(GCM_NONCE_BYTES)
        return nonce + self._gcm.encrypt(nonce, plaintext, aad)

    def unseal(self, blob: bytes, aad: bytes) -> bytes:
        if len(blob) < GCM_NONCE_BYTES + GCM_TAG_BYTES:
            raise UnsealError(f"{len(blob)} bytes are no 12-byte nonce, ciphertext and 16-byte tag")
        try:
            return self._gcm.decrypt(blob[:GCM_NONCE_BYTES], blob[GCM_NONCE_BYTES:], aad)
        except InvalidTag:
            raise UnsealError("GCM tag wrong: another key, another AAD, or changed bytes") from None


class _Cbc:
    """A block cipher in CBC with PKCS#7 padding: 16-byte IV, ciphertext. Authenticated by HASH_CRC alone."""

    needs_hmac = True
    sandbox_only = False

    def __init__(self, name: str, key_bytes: int, algorithm: Callable[[bytes], AES | SEED]) -> None:
        self.name = name
        self.key_bytes = key_bytes
        self._algorithm = algorithm

    def opener(self, key: bytes) -> Opener:
        check_key(self, key)
        return _CbcOpener(self._algorithm(key))


class _CbcOpener:
    __slots__ = ("_algorithm",)

    def __init__(self, algorithm: AES | SEED) -> None:
        self._algorithm = algorithm

    def seal(self, plaintext: bytes, aad: bytes, entropy: Entropy) -> bytes:
        pad = BLOCK_BYTES - len(plaintext) % BLOCK_BYTES
        iv = entropy(BLOCK_BYTES)
        context = Cipher(self._algorithm, modes.CBC(iv)).encryptor()
        return iv + _whole(context, plaintext + bytes([pad]) * pad)

    def unseal(self, blob: bytes, aad: bytes) -> bytes:
        if len(blob) < 2 * BLOCK_BYTES or len(blob) % BLOCK_BYTES:
            raise UnsealError(f"{len(blob)} bytes are no 16-byte IV and whole 16-byte blocks")
        context = Cipher(self._algorithm, modes.CBC(blob[:BLOCK_BYTES])).decryptor()
        padded = _whole(context, blob[BLOCK_BYTES:])
        # No oracle: the HMAC over ENC_DATA has been checked before any byte is decrypted (contract §3).
        pad = padded[-1]
        if not 1 <= pad <= BLOCK_BYTES or padded[-pad:] != bytes([pad]) * pad:
            raise UnsealError("PKCS#7 padding wrong: another key, or another padding")
        return padded[:-pad]


def _whole(context: CipherContext, data: bytes) -> bytes:
    return context.update(data) + context.finalize()


def check_key(suite: Suite, key: bytes) -> None:
    """Refuse a key whose length is not the suite's.

    Raises:
        ConfigError: names the suite and both lengths.
    """
    if len(key) != suite.key_bytes:
        raise ConfigError(f"scheme {suite.name} takes a key of {suite.key_bytes} bytes, not {len(key)}")


SUITES: Final[dict[str, Suite]] = {
    suite.name: suite
    for suite in (_Clear(), _Gcm(), _Cbc("aes-256-cbc", 32, AES), _Cbc("seed-128-cbc", 16, SEED))
}


def register(suite: Suite) -> None:
    """Add a scheme of another package.

    Raises:
        ConfigError: its name is taken by another scheme.
    """
    if SUITES.setdefault(suite.name, suite) is not suite:
        raise ConfigError(f"two schemes are called {suite.name}")


def find_suite(name: str) -> Suite:
    """Look a scheme up by name.

    Raises:
        ConfigError: there is none; the message lists those that there are.
    """
    try:
        return SUITES[name]
    except KeyError:
        known = ", ".join(sorted(SUITES))
        raise ConfigError(f"no encryption scheme is called {name!r}; there are: {known}") from None
