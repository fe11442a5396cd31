"""Keys: made, imported, activated, retired, rotated, wrapped anew. Only check values come out.

A rotation overlaps. The new version is active beside the old one until someone retires that; which of several active
versions makes new things is the newest. States: pending → active → retired; a retired version still opens what it
once closed, and can be reinstated while a partner still uses it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from cpmqr.crypto.suites import DEFAULT_CRYPTO_TYPES, Suite, find_suite
from cpmqr.errors import ConfigError
from cpmqr.keys.base import KeyEncryptionKey, wrap_context
from cpmqr.keys.ceremony import Component, combine, refuse_weak
from cpmqr.keys.check_value import KEY_BYTES, check_value
from cpmqr.keys.keyring import unwrap_entry
from cpmqr.keys.tr31 import read_block, write_block
from cpmqr.model import KeyPurpose, KeyState, Secret, WrappedKey
from cpmqr.service.key_names import KeyName, check_name, next_version
from cpmqr.store.base import Actor, AuditStore, DirectoryStore

Entropy = Callable[[int], bytes]

# What a gateway can't do without, and nobody else ever sees.
OWN_ALGORITHMS: Final[dict[KeyPurpose, str]] = {
    KeyPurpose.VAULT_PAN: "aes-256",
    KeyPurpose.VAULT_INDEX: "hmac-sha256",
    KeyPurpose.MAPPING: "aes-256",
}
_HMAC_PURPOSES: Final = (KeyPurpose.HASH_CRC, KeyPurpose.WEBHOOK)
_IN_A_SET: Final = (KeyPurpose.TRANSPORT, KeyPurpose.HASH_CRC)


class KeyStore(DirectoryStore, AuditStore, Protocol):
    """What keys are kept in."""


class KeyAdmin:
    """The key officer's tools.

    Args:
        kek: what new keys are wrapped under, and stored ones open with.
        crypto_types: the deployment's table of CRYPTO_TYPE code → scheme name.
        master_key_algorithms: scheme profile → algorithm of its issuer master key; profiles without are left out.
    """

    def __init__(
        self,
        store: KeyStore,
        kek: KeyEncryptionKey,
        *,
        crypto_types: Mapping[str, str] = DEFAULT_CRYPTO_TYPES,
        master_key_algorithms: Mapping[str, str] | None = None,
        entropy: Entropy = os.urandom,
    ) -> None:
        self._store = store
        self._kek = kek
        self._crypto_types = crypto_types
        self._master_key_algorithms = master_key_algorithms or {}
        self._entropy = entropy
        # A change reads the versions that there are, then writes: two at once must not pick the same number.
        self._one_at_a_time = asyncio.Lock()

    async def keys(self, *, purpose: KeyPurpose | None = None, owner: str | None = None) -> list[WrappedKey]:
        """List key versions, wrapped, in the order of their names."""
        keys = (await self._store.directory()).keys
        chosen = (
            key
            for key in keys
            if (purpose is None or key.purpose is purpose) and (owner is None or key.owner == owner)
        )
        return sorted(chosen, key=lambda key: (key.purpose, key.owner, key.name, key.version))

    async def init(self, actor: Actor, now_s: int) -> list[WrappedKey]:
        """Make the gateway's own keys (vault-pan, vault-index, mapping) that are missing; returns those made."""
        async with self._one_at_a_time:
            present = {key.purpose for key in await self.keys()}
            made = [
                self._make(KeyName(purpose, version="1"), algorithm, KeyState.ACTIVE, now_s)
                for purpose, algorithm in OWN_ALGORITHMS.items()
                if purpose not in present
            ]
            if made:
                await self._store.put_keys(actor, made, "key.init", now_s)
            else:
                await self._store.confirm_directory()
        return made

    async def generate(
        self, actor: Actor, name: KeyName, now_s: int, *, activate: bool = False
    ) -> WrappedKey:
        """Make a random key; without a version in `name`, the next one. Pending, unless it is to be active at once.

        Raises:
            ConfigError: a name is wrong or taken, or the vault index key exists already.
        """
        state = KeyState.ACTIVE if activate else KeyState.PENDING
        async with self._one_at_a_time:
            full_name = await self._new_name(name)
            key = self._make(full_name, self.algorithm(full_name), state, now_s)
            await self._store.put_keys(actor, [key], "key.generate", now_s)
        return key

    async def generate_set(
        self, actor: Actor, requestor_id: str, version: str, now_s: int, *, codes: Iterable[str] = ()
    ) -> list[WrappedKey]:
        """Make one CRYPTO_KEY_VER of a requestor, active: a key for each CRYPTO_TYPE and one for HASH_CRC.

        Args:
            version: 2 characters, or "" for the next one.
            codes: CRYPTO_TYPEs; empty for all configured ones that take a key.

        Raises:
            ConfigError: a code is unknown, or a key of this version exists.
        """
        wanted = list(codes) or [code for code in self._crypto_types if self._suite(code).key_bytes]
        async with self._one_at_a_time:
            taken = [key.version for key in await self.keys(owner=requestor_id) if key.purpose in _IN_A_SET]
            number = version or next_version(KeyPurpose.TRANSPORT, taken)
            names = [KeyName(KeyPurpose.TRANSPORT, requestor_id, code, number) for code in wanted]
            names.append(KeyName(KeyPurpose.HASH_CRC, requestor_id, "", number))
            made = [
                self._make(await self._new_name(name), self.algorithm(name), KeyState.ACTIVE, now_s)
                for name in names
            ]
            await self._store.put_keys(actor, made, "key.generate", now_s)
        return made

    async def import_components(
        self, actor: Actor, name: KeyName, components: Sequence[Component], kcv: str, now_s: int
    ) -> WrappedKey:
        """Take a key in as components with check values; it is pending until activated.

        Raises:
            ConfigError: names the component and what is wrong, or the name is wrong or taken.
        """
        async with self._one_at_a_time:
            full_name = await self._new_name(name)
            algorithm = self.algorithm(full_name)
            secret = combine(algorithm, components, kcv)
            key = wrap_key(self._kek, full_name, algorithm, secret, KeyState.PENDING, now_s)
            await self._store.put_keys(actor, [key], "key.import-components", now_s)
        return key

    async def import_tr31(
        self, actor: Actor, name: KeyName, block: str, protection_key: Secret, now_s: int
    ) -> WrappedKey:
        """Take a key in as a TR-31 block; it is pending until activated.

        Raises:
            ConfigError: the block does not open or is for another use, or the name is wrong or taken.
        """
        async with self._one_at_a_time:
            full_name = await self._new_name(name)
            algorithm = self.algorithm(full_name)
            secret = read_block(block, protection_key, full_name.purpose, algorithm)
            refuse_weak(algorithm, secret.reveal())
            key = wrap_key(self._kek, full_name, algorithm, secret, KeyState.PENDING, now_s)
            await self._store.put_keys(actor, [key], "key.import-tr31", now_s)
        return key

    async def export_tr31(self, actor: Actor, name: KeyName, protection_key: Secret, now_s: int) -> str:
        """Give a partner's key to the partner, wrapped under the key that we share with it. Audited.

        Raises:
            ConfigError: there is no such key, or it is the gateway's own.
            KeyUnavailable: the stored key does not open.
        """
        key = await self._get(name)
        entry = unwrap_entry(key, self._kek)
        block = write_block(entry.secret, protection_key, entry.purpose, entry.algorithm, self._entropy)
        await self._store.audit(actor, "key.export-tr31", str(name), {"kcv": key.kcv}, now_s)
        return block

    async def activate(
        self, actor: Actor, name: KeyName, now_s: int, *, reinstate: bool = False
    ) -> WrappedKey:
        """Make a pending version active; active already is no error.

        Args:
            reinstate: take back a retirement; without it a retired version is refused.

        Raises:
            ConfigError: no such version, or it is retired.
        """
        async with self._one_at_a_time:
            key = await self._get(name)
            if key.state is KeyState.ACTIVE:
                await self._store.confirm_directory()
                return key
            if key.state is KeyState.RETIRED and (not reinstate or key.purpose in OWN_ALGORITHMS):
                raise ConfigError(f"version {key.version} is retired")
            active = msgspec.structs.replace(
                key, state=KeyState.ACTIVE, activated_at_s=now_s, retired_at_s=None
            )
            await self._store.put_keys(actor, [active], "key.activate", now_s)
        return active

    async def retire(
        self, actor: Actor, name: KeyName, now_s: int, *, even_the_last: bool = False
    ) -> WrappedKey:
        """End a version's use for anything new; retired already is no error.

        Args:
            even_the_last: allow it though no other version is active, so that its owner is cut off. Never for the
                gateway's own keys.

        Raises:
            ConfigError: no such version, or it is the last that is active.
        """
        async with self._one_at_a_time:
            key = await self._get(name)
            if key.state is KeyState.RETIRED:
                await self._store.confirm_directory()
                return key
            others = [other for other in await self._family(name) if other.version != key.version]
            is_last = key.state is KeyState.ACTIVE and all(
                other.state is not KeyState.ACTIVE for other in others
            )
            if is_last and (key.purpose in OWN_ALGORITHMS or not even_the_last):
                raise ConfigError(f"version {key.version} is the only active one: rotate first")
            retired = msgspec.structs.replace(key, state=KeyState.RETIRED, retired_at_s=now_s)
            await self._store.put_keys(actor, [retired], "key.retire", now_s)
        return retired

    async def rotate(self, actor: Actor, name: KeyName, now_s: int) -> WrappedKey:
        """Make the next version and activate it; the versions before stay active until they are retired.

        Raises:
            ConfigError: there is nothing to rotate, or it is the vault index key.
        """
        if not await self._family(name):
            raise ConfigError("there is no such key yet: generate or import the first version")
        return await self.generate(actor, name, now_s, activate=True)

    async def rewrap(self, actor: Actor, new_kek: KeyEncryptionKey, now_s: int) -> int:
        """Wrap every key that is under the current KEK under another, in one transaction; how many there were.

        Raises:
            KeyUnavailable: a key opens under neither; nothing was changed.
        """
        async with self._one_at_a_time:
            keys = [key for key in (await self._store.directory()).keys if key.kek_id != new_kek.kek_id]
            moved = [self._rewrapped(key, new_kek) for key in keys]
            # Even if there are none left: "0" has people throw the old KEK away, so it waits, as every commit does,
            # until a standby has all that came before it.
            await self._store.put_keys(actor, moved, "key.rewrap", now_s)
        return len(moved)

    def algorithm(self, name: KeyName) -> str:
        """Tell which algorithm a key of this name has: it follows from its use.

        Raises:
            ConfigError: the CRYPTO_TYPE or profile is unknown, or takes no key.
        """
        if name.purpose in OWN_ALGORITHMS:
            return OWN_ALGORITHMS[name.purpose]
        if name.purpose in _HMAC_PURPOSES:
            return "hmac-sha256"
        if name.purpose is KeyPurpose.TRANSPORT:
            return transport_algorithm(self._suite(name.name))
        algorithm = self._master_key_algorithms.get(name.owner)
        if not algorithm:
            known = ", ".join(sorted(self._master_key_algorithms)) or "none"
            raise ConfigError(f"no profile of that name makes cryptograms here; there are: {known}")
        return algorithm

    def _suite(self, code: str) -> Suite:
        if code not in self._crypto_types:
            raise ConfigError(f"CRYPTO_TYPE is one of {', '.join(sorted(self._crypto_types))}")
        return find_suite(self._crypto_types[code])

    async def _family(self, name: KeyName) -> list[WrappedKey]:
        keys = await self.keys(purpose=name.purpose, owner=name.owner)
        return [key for key in keys if key.name == name.name]

    async def _get(self, name: KeyName) -> WrappedKey:
        for key in await self._family(name):
            if key.version == name.version:
                return key
        raise ConfigError(f"there is no {name}")

    async def _new_name(self, name: KeyName) -> KeyName:
        """Fill in the next version where none is given, and refuse a name that is wrong or taken."""
        taken = [key.version for key in await self._family(name)]
        if name.purpose is KeyPurpose.VAULT_INDEX and taken:
            raise ConfigError("the vault index key stays: every token is found by it, and would be lost")
        full_name = msgspec.structs.replace(name, version=name.version or next_version(name.purpose, taken))
        check_name(full_name)
        if full_name.version in taken:
            await self._store.confirm_directory()
            raise ConfigError(
                f"there is a {full_name} already: a key is never replaced, make another version"
            )
        return full_name

    def _make(self, name: KeyName, algorithm: str, state: KeyState, now_s: int) -> WrappedKey:
        length = KEY_BYTES.get(algorithm) or self._suite(name.name).key_bytes
        return wrap_key(self._kek, name, algorithm, Secret(self._entropy(length)), state, now_s)

    def _rewrapped(self, key: WrappedKey, new_kek: KeyEncryptionKey) -> WrappedKey:
        secret = unwrap_entry(key, self._kek).secret
        context = wrap_context(key.purpose, key.owner, key.name, key.version)
        return msgspec.structs.replace(key, wrapped=new_kek.wrap(secret, context), kek_id=new_kek.kek_id)


def wrap_key(
    kek: KeyEncryptionKey, name: KeyName, algorithm: str, secret: Secret, state: KeyState, now_s: int
) -> WrappedKey:
    """Give a new key version as it is stored.

    Raises:
        ConfigError: the key's length is not its algorithm's.
    """
    kcv = check_value(algorithm, secret.reveal())
    return WrappedKey(
        purpose=name.purpose,
        owner=name.owner,
        name=name.name,
        version=name.version,
        algorithm=algorithm,
        state=state,
        kcv=kcv,
        wrapped=kek.wrap(secret, wrap_context(name.purpose, name.owner, name.name, name.version)),
        kek_id=kek.kek_id,
        created_at_s=now_s,
        activated_at_s=None if state is KeyState.PENDING else now_s,
        retired_at_s=now_s if state is KeyState.RETIRED else None,
    )


def transport_algorithm(suite: Suite) -> str:
    """Tell the algorithm of a scheme's key: "aes-256-gcm" takes "aes-256"; a plugged-in scheme's is its own name.

    Raises:
        ConfigError: the scheme takes no key.
    """
    if not suite.key_bytes:
        raise ConfigError(f"the scheme {suite.name} takes no key")
    for algorithm, length in KEY_BYTES.items():
        if suite.name.startswith(f"{algorithm}-") and suite.key_bytes == length:
            return algorithm
    return suite.name
