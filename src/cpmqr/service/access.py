"""Who may ask, and with which keys: the directory in memory, ready for the hot path.

A snapshot is built whole and swapped in one assignment, so that a request sees one directory from end to end. The
store's directory version is asked for every `REFRESH_S`; revocation therefore reaches every worker within five
seconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from cpmqr.crypto.blocks import EncryptBlocks, Mac, aes_ecb, hmac_sha256, tdes_ecb
from cpmqr.crypto.suites import Opener, Suite, find_suite
from cpmqr.errors import ConfigError, KeyUnavailable, Refusal
from cpmqr.keys.keyring import KeyEntry, Keyring
from cpmqr.keys.vault import Vault
from cpmqr.model import KeyPurpose, KeyState, Requestor, Role, WrappedKey
from cpmqr.record import Frozen
from cpmqr.store.base import Directory, DirectoryStore
from cpmqr.wire import codes

REFRESH_S: Final = 2.0  # twice that, and a slow query, is still under the five seconds that we promise
CREDENTIAL_CHARACTERS_MAX: Final = 512  # ours are 43; a pre-shared one of another maker may be longer
CREDENTIAL_PREFIX_BYTES: Final = 8  # finds the one to compare with; the comparison itself takes constant time
_NOBODY: Final[tuple[bytes, None]] = (b"", None)
_BEARER: Final = "bearer "

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Principal(Frozen):
    """A requestor, authoriser or operator with its keys opened.

    Attributes:
        openers: by CRYPTO_TYPE and CRYPTO_KEY_VER, for live versions only.
        hash_keys: HASH_CRC's HMAC by CRYPTO_KEY_VER, likewise.
        check_values: by CRYPTO_TYPE and CRYPTO_KEY_VER, for the sandbox's explanations.
        dead_versions: state by CRYPTO_KEY_VER of what is pending, retired or unusable, for the sandbox's explanations.
        webhook_keys: the live ones, the newest first.
    """

    requestor: Requestor
    openers: dict[tuple[str, str], Opener]
    hash_keys: dict[str, Mac]
    check_values: dict[tuple[str, str], str]
    dead_versions: dict[str, str]
    networks: tuple[Network, ...] = ()
    webhook_keys: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"<principal {self.requestor.requestor_id} {self.requestor.role}>"


class IssuerKeys(Frozen):
    """Issuer master keys, opened.

    Attributes:
        encryptors: by profile and derivation key index; retired ones too, since old QRs are computed with them.
        current: profile → derivation key index with which new QRs are made.
    """

    encryptors: dict[tuple[str, str], EncryptBlocks]
    current: dict[str, str]

    def __repr__(self) -> str:
        return f"<issuer keys {sorted(self.encryptors)}>"


class Snapshot(Frozen):
    """The directory of one moment. `credentials` is keyed by the first bytes of a digest, and holds the whole one."""

    version: int
    principals: dict[str, Principal]
    credentials: dict[bytes, tuple[bytes, Principal | None]]
    issuer: IssuerKeys
    vault: Vault

    def __repr__(self) -> str:
        return f"<directory version {self.version}, {len(self.principals)} principals>"


class Access:
    """Holds the current snapshot and answers who a credential belongs to.

    Args:
        crypto_types: the configured table of CRYPTO_TYPE code → scheme name.
        open_keys: unwraps what the store holds.
    """

    def __init__(
        self,
        store: DirectoryStore,
        open_keys: Callable[[Iterable[WrappedKey]], Keyring],
        crypto_types: Mapping[str, str],
    ) -> None:
        self._store = store
        self._open_keys = open_keys
        self.suites: Final[dict[str, Suite]] = {code: find_suite(name) for code, name in crypto_types.items()}
        self._snapshot: Snapshot | None = None

    @property
    def current(self) -> Snapshot:
        """Give the current snapshot.

        Raises:
            KeyUnavailable: none could be loaded yet.
        """
        if self._snapshot is None:
            raise KeyUnavailable("the directory has not been read yet")
        return self._snapshot

    async def refresh(self) -> bool:
        """Load the directory if it has changed; True if it had."""
        version = await self._store.directory_version()
        if self._snapshot is not None and self._snapshot.version == version:
            return False
        directory = await self._store.directory()
        self._snapshot = self._build(directory)
        return True

    def authenticate(self, authorization: str | None, source: str, *roles: Role) -> Principal:
        """Find whose credential an Authorization header holds, and whether it may ask this from there.

        Raises:
            Refusal: 2001 as `identify`, 2002 as `admit`.
        """
        principal = self.identify(authorization)
        self.admit(principal, source, *roles)
        return principal

    def identify(self, authorization: str | None) -> Principal:
        """Find whose credential an Authorization header holds; a scheme word `Bearer` is read over.

        `authorization` is the header's bytes read as Latin-1, as HTTP has them.

        Raises:
            Refusal: 2001, with one text for unknown and revoked.
        """
        if not authorization:
            raise Refusal(codes.NOT_AUTHENTICATED, "no Authorization header was sent")
        credential = authorization.strip()
        if credential[:7].lower() == _BEARER:
            credential = credential[7:].strip()
        if len(credential) > CREDENTIAL_CHARACTERS_MAX:
            raise Refusal(codes.NOT_AUTHENTICATED, "the credential is unknown or revoked")
        digest = hashlib.sha256(credential.encode("latin-1", "replace")).digest()
        known, principal = self.current.credentials.get(digest[:CREDENTIAL_PREFIX_BYTES], _NOBODY)
        if principal is None or not hmac.compare_digest(known, digest):
            raise Refusal(codes.NOT_AUTHENTICATED, "the credential is unknown or revoked")
        return principal

    def admit(self, principal: Principal, source: str, *roles: Role) -> None:
        """Tell whether a principal may ask this, and from this address.

        Raises:
            Refusal: 2002 for a role or a source network that is not allowed.
        """
        if principal.requestor.role not in roles:
            raise Refusal(codes.NOT_YOURS, f"this credential is a {principal.requestor.role}'s")
        if principal.requestor.networks and not _within(source, principal.networks):
            raise Refusal(codes.NOT_YOURS, "requests from this network are not allowed")

    def _build(self, directory: Directory) -> Snapshot:
        keyring = self._open_keys(directory.keys)
        by_owner: dict[str, list[WrappedKey]] = {}
        for key in directory.keys:
            by_owner.setdefault(key.owner, []).append(key)
        principals = {
            requestor.requestor_id: self._principal(
                requestor, by_owner.get(requestor.requestor_id, []), keyring
            )
            for requestor in directory.requestors
        }
        credentials: dict[bytes, tuple[bytes, Principal | None]] = {
            credential.digest[:CREDENTIAL_PREFIX_BYTES]: (
                credential.digest,
                principals[credential.requestor_id],
            )
            for credential in directory.credentials
            if credential.revoked_at_s is None and credential.requestor_id in principals
        }
        return Snapshot(
            directory.version, principals, credentials, _issuer_keys(directory.keys, keyring), Vault(keyring)
        )

    def _principal(self, requestor: Requestor, keys: list[WrappedKey], keyring: Keyring) -> Principal:
        openers: dict[tuple[str, str], Opener] = {}
        hash_keys: dict[str, Mac] = {}
        dead_versions: dict[str, str] = {}
        check_values: dict[tuple[str, str], str] = {}
        for key in keys:
            if key.state is not KeyState.ACTIVE:
                dead_versions[key.version] = key.state
                continue
            entry = keyring.find(key.purpose, key.owner, key.name, key.version)
            if entry is None:
                continue
            if key.purpose is KeyPurpose.HASH_CRC:
                hash_keys[key.version] = hmac_sha256(entry.secret.reveal())
            elif key.purpose is KeyPurpose.TRANSPORT and key.name in self.suites:
                try:
                    openers[key.name, key.version] = self.suites[key.name].opener(entry.secret.reveal())
                except (
                    ConfigError
                ) as error:  # one key must not keep the rest of the directory from being read
                    dead_versions[key.version] = f"unusable ({error})"
                    continue
                check_values[key.name, key.version] = entry.kcv
        for code, suite in self.suites.items():
            if suite.key_bytes == 0:
                versions = {version for _, version in openers} | set(hash_keys)
                openers |= {(code, version): suite.opener(b"") for version in versions}
        return Principal(
            requestor,
            openers,
            hash_keys,
            check_values,
            dead_versions,
            _networks(requestor),
            _webhook_keys(requestor, keyring),
        )


def _webhook_keys(requestor: Requestor, keyring: Keyring) -> tuple[bytes, ...]:
    """The live ones, the newest first: a notification is signed with each."""
    versions = keyring.versions(KeyPurpose.WEBHOOK, requestor.requestor_id)
    return tuple(entry.secret.reveal() for entry in versions if entry.state is KeyState.ACTIVE)


def _issuer_keys(keys: Iterable[WrappedKey], keyring: Keyring) -> IssuerKeys:
    encryptors: dict[tuple[str, str], EncryptBlocks] = {}
    current: dict[str, str] = {}
    for key in keys:
        if key.purpose is not KeyPurpose.ISSUER_MASTER or key.state is KeyState.PENDING:
            continue
        entry = keyring.find(key.purpose, key.owner, key.name, key.version)
        if entry is not None:
            encryptors[key.owner, key.version] = _encryptor(entry)
    for profile in {profile for profile, _ in encryptors}:
        active = keyring.find(KeyPurpose.ISSUER_MASTER, profile)
        if active is not None:
            current[profile] = active.version
    return IssuerKeys(encryptors, current)


def _encryptor(entry: KeyEntry) -> EncryptBlocks:
    make = tdes_ecb if entry.algorithm.startswith("tdes") else aes_ecb
    return make(entry.secret.reveal())


def _networks(requestor: Requestor) -> tuple[Network, ...]:
    """Read a requestor's networks; one that can't be read admits nobody."""
    networks: list[Network] = []
    for text in requestor.networks:
        with contextlib.suppress(ValueError):
            networks.append(ipaddress.ip_network(text, strict=False))
    return tuple(networks)


def _within(source: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address  # as a socket for both families names IPv4
    return any(address.version == network.version and address in network for network in networks)
