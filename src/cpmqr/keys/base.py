"""What keys promise: versions wrapped under a key-encryption key (KEK), check values, no clear key outside.

Where the wrapped versions lie is the store's matter (`WrappedKey` in `model.py`); this room only opens and closes
them. An HSM stands behind the same protocol: it then holds the KEK, and unwraps inside.
"""

from __future__ import annotations

from typing import Protocol

from cpmqr.model import KeyPurpose, Secret


class KeyEncryptionKey(Protocol):
    """The one key that is not in the database."""

    @property
    def kek_id(self) -> str:
        """Name this KEK by its check value: stored beside each wrapped key, so that a wrong KEK is told at once."""
        ...

    def wrap(self, secret: Secret, context: bytes) -> bytes:
        """Encrypt a key for storage; `context` binds it to its purpose, owner, name and version."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> Secret:
        """Open a stored key.

        Raises:
            KeyUnavailable: wrapped under another KEK, changed, or moved from another context.
        """
        ...


def wrap_context(purpose: KeyPurpose, owner: str, name: str, version: str) -> bytes:
    """Name a key version unmistakably: four fields, each with its length before it (ours)."""
    return b"".join(
        len(field).to_bytes(2, "big") + field
        for field in (purpose.encode(), owner.encode(), name.encode(), version.encode())
    )
