"""All key versions of a deployment, unwrapped and ready, found by purpose, owner, name and version.

A keyring is made from the store's wrapped keys at start, and anew whenever the directory's version has grown. It
is a snapshot: nothing in it changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import msgspec

from cpmqr.errors import ConfigError, KeyUnavailable
from cpmqr.keys.base import KeyEncryptionKey, wrap_context
from cpmqr.keys.check_value import check_value
from cpmqr.model import KeyPurpose, KeyState, Secret, WrappedKey

# A wrapped key is 80 bytes or so; this bounds the memory and the start of a process, far above any real deployment.
KEYS_MAX: Final = 200_000

_Family = tuple[KeyPurpose, str, str]


class KeyEntry(msgspec.Struct, frozen=True):
    """A key version in clear, for use in this process. Its repr shows the check value alone."""

    purpose: KeyPurpose
    owner: str
    name: str
    version: str
    algorithm: str
    state: KeyState
    kcv: str
    secret: Secret
    activated_at_s: int | None = None
    retired_at_s: int | None = None

    @property
    def live(self) -> bool:
        """Active: may be used for something new."""
        return self.state is KeyState.ACTIVE

    def __repr__(self) -> str:
        which = f"{self.purpose} {self.owner or '-'} {self.name or '-'} v{self.version}"
        return f"<key {which} {self.state} kcv {self.kcv}>"


class Unusable(msgspec.Struct, frozen=True):
    """A stored key that did not open, and why; the cause holds nothing secret."""

    key: WrappedKey
    cause: str


class Keyring:
    """The keys that opened, and a report of those that did not.

    Attributes:
        unusable: keys that could not be unwrapped; the others work.
    """

    __slots__ = ("_by_version", "_families", "_newest", "unusable")

    def __init__(self, entries: Iterable[KeyEntry], unusable: Iterable[Unusable] = ()) -> None:
        families: defaultdict[_Family, list[KeyEntry]] = defaultdict(list)
        for entry in entries:
            families[entry.purpose, entry.owner, entry.name].append(entry)
        for family in families.values():
            family.sort(key=by_age, reverse=True)
            family.sort(key=_rank)
        self._families: dict[_Family, list[KeyEntry]] = dict(families)
        self._by_version = {
            (*names, entry.version): entry for names, family in families.items() for entry in family
        }
        self._newest = {names: family[0] for names, family in families.items() if family[0].live}
        self.unusable = tuple(unusable)

    @classmethod
    def open(cls, wrapped: Iterable[WrappedKey], kek: KeyEncryptionKey) -> Keyring:
        """Unwrap every key; one that does not open, or whose check value differs, is reported in `unusable`."""
        entries: list[KeyEntry] = []
        unusable: list[Unusable] = []
        for key in wrapped:
            if len(entries) >= KEYS_MAX:
                unusable.append(Unusable(key, f"more than {KEYS_MAX} keys"))
                continue
            try:
                entries.append(unwrap_entry(key, kek))
            except KeyUnavailable as error:
                unusable.append(Unusable(key, str(error)))
        return cls(entries, unusable)

    def find(
        self, purpose: KeyPurpose, owner: str = "", name: str = "", version: str | None = None
    ) -> KeyEntry | None:
        """Give one key version, whatever its state; without `version` the active one, the newest if several are.

        A caller that names a version must look at `state` itself: a retired key still opens what is old.
        """
        if version is None:
            return self._newest.get((purpose, owner, name))
        return self._by_version.get((purpose, owner, name, version))

    def versions(self, purpose: KeyPurpose, owner: str = "", name: str = "") -> list[KeyEntry]:
        """Give all versions: active first, the newest activation first, then retired ones, then pending."""
        return list(self._families.get((purpose, owner, name), ()))

    def owners(self, purpose: KeyPurpose) -> list[str]:
        """Name the owners that have a key for this purpose, sorted."""
        return sorted({owner for kept, owner, _ in self._families if kept is purpose})

    def __len__(self) -> int:
        return len(self._by_version)

    def __repr__(self) -> str:
        return f"<keyring of {len(self)} keys, {len(self.unusable)} unusable>"


def unwrap_entry(key: WrappedKey, kek: KeyEncryptionKey) -> KeyEntry:
    """Open one stored key and hold it against its check value.

    Raises:
        KeyUnavailable: it does not open, or is not the key that the check value names.
    """
    secret = kek.unwrap(key.wrapped, wrap_context(key.purpose, key.owner, key.name, key.version))
    try:
        actual = check_value(key.algorithm, secret.reveal())
    except ConfigError as error:
        raise KeyUnavailable(str(error)) from None
    if actual != key.kcv:
        raise KeyUnavailable(f"its check value is {actual}, recorded was {key.kcv}")
    return KeyEntry(
        purpose=key.purpose,
        owner=key.owner,
        name=key.name,
        version=key.version,
        algorithm=key.algorithm,
        state=key.state,
        kcv=key.kcv,
        secret=secret,
        activated_at_s=key.activated_at_s,
        retired_at_s=key.retired_at_s,
    )


def by_age(entry: KeyEntry) -> tuple[int, int, str]:
    """Order versions from the oldest to the newest activation; of two in one second, the higher version is newer."""
    return entry.activated_at_s or 0, len(entry.version), entry.version


def _rank(entry: KeyEntry) -> int:
    return _RANKS[entry.state]


_RANKS: Final = {KeyState.ACTIVE: 0, KeyState.RETIRED: 1, KeyState.PENDING: 2}
