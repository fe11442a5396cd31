"""The first start of a sandbox, and each later one: what is missing is added, what is there stays."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from cpmqr.crypto.suites import DEFAULT_CRYPTO_TYPES, find_suite
from cpmqr.emv.profile import BUILT_IN, Profile
from cpmqr.errors import ConfigError
from cpmqr.keys.base import KeyEncryptionKey
from cpmqr.keys.check_value import KEY_BYTES, check_value
from cpmqr.keys.keyring import Keyring
from cpmqr.keys.software import SoftwareKek
from cpmqr.keys.vault import Vault
from cpmqr.model import (
    ATC_MAX,
    Credential,
    HashMode,
    KeyPurpose,
    KeyState,
    Requestor,
    Role,
    Secret,
    TokenPan,
    TokenState,
    WrappedKey,
)
from cpmqr.sandbox.file import (
    FILE_NAME,
    Authorization,
    HashCrcKey,
    IssuerKey,
    SandboxFile,
    SandboxToken,
    SuspendedRequestor,
    TransportKey,
    WebhookKey,
    set_base_url,
    write,
)
from cpmqr.service.key_admin import KeyAdmin, transport_algorithm, wrap_key
from cpmqr.service.key_names import KeyName
from cpmqr.service.requestors import credential_digest, new_credential
from cpmqr.service.tokens import BinRange, TokenOrder, draft_token, make_pan, new_token_id, standing
from cpmqr.store.base import Actor, Directory, Store

Entropy = Callable[[int], bytes]

KEK_FILE_NAME: Final = "kek.key"

REQUESTOR_ID: Final = "42000000066"  # the page's
SUSPENDED_REQUESTOR_ID: Final = "42000000099"
AUTHORISER_ID: Final = "authoriser"
OPERATOR_ID: Final = "operator"
PAGE_PAN: Final = "5350206900000066"
KEY_VERSION: Final = "00"
RETIRED_KEY_VERSION: Final = "01"
PENDING_KEY_VERSION: Final = "02"
# The page's sample carries 05 where other Korean payloads carry a key index; for the others any number would do.
_DKI: Final = {"bc-domestic": "05"}
_DKI_DEFAULT: Final = "01"
_TOKENS_MAX: Final = 1_000  # that a file made anew lists
_ACTOR: Final = Actor("sandbox", "first-start")


def kek(data_dir: str | Path, entropy: Entropy = os.urandom) -> SoftwareKek:
    """Open the sandbox's key-encryption key; on the first start make it, and the folder with mode 0700.

    Raises:
        ConfigError: it is malformed, readable by others, or can't be written.
    """
    folder = Path(data_dir)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} can't be made: {error.strerror}") from None
    path = folder / KEK_FILE_NAME
    return SoftwareKek.from_file(path) if path.exists() else SoftwareKek.create(path, entropy)


async def seed(
    store: Store,
    kek: KeyEncryptionKey,
    data_dir: str | Path,
    base_url: str,
    now_s: int,
    entropy: Entropy = os.urandom,
) -> SandboxFile:
    """Make sure that file and database hold a whole sandbox; what is there already stays.

    Args:
        store: its schema is up to date.
        base_url: where the gateway will listen.

    Raises:
        ConfigError: the database belongs to another file or another key-encryption key, or a file can't be written.
    """
    await KeyAdmin(store, kek, entropy=entropy).init(_ACTOR, now_s)
    directory = await store.directory()
    keyring = Keyring.open(directory.keys, kek)
    if keyring.unusable:
        raise ConfigError(
            f"{data_dir}: the database's keys do not open ({keyring.unusable[0].cause}); "
            f"put the {KEK_FILE_NAME} back that belongs to them, or begin anew in another folder"
        )
    seeder = _Seeder(store, kek, keyring, directory, now_s, entropy)
    path = Path(data_dir) / FILE_NAME
    is_new = not path.exists()
    file = seeder.plan(base_url, await seeder.known_tokens()) if is_new else set_base_url(path, base_url)
    if is_new:
        write(path, file)
    await seeder.carry_out(file, revoke_others=is_new)
    return file


class _Seeder:
    """One seeding: plans the file from what the database has, then adds to the database what the file has more."""

    def __init__(
        self,
        store: Store,
        kek: KeyEncryptionKey,
        keyring: Keyring,
        directory: Directory,
        now_s: int,
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._kek = kek
        self._keyring = keyring
        self._directory = directory
        self._now_s = now_s
        self._entropy = entropy
        self._vault = Vault(keyring, entropy)

    async def known_tokens(self) -> list[SandboxToken]:
        """Give the tokens that the database has of this requestor, with their PANs in clear."""
        tokens = await self._store.list_tokens(requestor_id=REQUESTOR_ID, limit=_TOKENS_MAX)
        known = [
            SandboxToken(
                pan=self._vault.open(token).reveal(),
                psn=token.psn,
                expiry=token.expiry,
                state=standing(token, self._now_s),
                profile=token.profile,
                service_code=token.service_code,
                discretionary=token.discretionary,
            )
            for token in tokens
        ]
        return sorted(known, key=lambda token: token.pan != PAGE_PAN)  # the page's first

    def plan(self, base_url: str, known_tokens: list[SandboxToken]) -> SandboxFile:
        """Draw up the file: keys and tokens of the database where it has them, fresh random ones elsewhere."""
        return SandboxFile(
            base_url=base_url,
            requestor_id=REQUESTOR_ID,
            authorization=self._credential(REQUESTOR_ID),
            crypto_types={
                code: TransportKey(
                    KEY_VERSION,
                    self._key_hex(KeyName(KeyPurpose.TRANSPORT, REQUESTOR_ID, code, KEY_VERSION), algorithm),
                )
                for code, algorithm in _transport_algorithms().items()
            },
            hash_crc=HashCrcKey(
                HashMode.HMAC_SHA256.value,
                self._key_hex(KeyName(KeyPurpose.HASH_CRC, REQUESTOR_ID, "", KEY_VERSION), "hmac-sha256"),
            ),
            tokens=known_tokens or self._new_tokens(),
            issuer_keys={
                profile: IssuerKey(
                    self._key_hex(KeyName(KeyPurpose.ISSUER_MASTER, profile, "", dki), algorithm), dki
                )
                for profile, dki, algorithm in _issuer_keys()
            },
            authoriser=Authorization(self._credential(AUTHORISER_ID)),
            operator=Authorization(self._credential(OPERATOR_ID)),
            suspended_requestor=SuspendedRequestor(
                SUSPENDED_REQUESTOR_ID, self._credential(SUSPENDED_REQUESTOR_ID)
            ),
            refused_key_versions={"retired": RETIRED_KEY_VERSION, "pending": PENDING_KEY_VERSION},
            webhook=WebhookKey(
                self._key_hex(KeyName(KeyPurpose.WEBHOOK, REQUESTOR_ID, "", "1"), "hmac-sha256")
            ),
        )

    async def carry_out(self, file: SandboxFile, *, revoke_others: bool) -> None:
        """Add what is missing. `revoke_others`: the file is new, so nobody knows the credentials from before."""
        await self._add_requestors()
        await self._add_credentials(file, revoke_others)
        await self._add_keys(file)
        await self._add_tokens(file.tokens)

    def _credential(self, requestor_id: str) -> str:
        return new_credential(requestor_id, self._now_s, self._entropy).reveal_text()

    def _key_hex(self, name: KeyName, algorithm: str) -> str:
        entry = self._keyring.find(name.purpose, name.owner, name.name, name.version)
        return (entry.secret.reveal() if entry else self._entropy(KEY_BYTES[algorithm])).hex()

    def _new_tokens(self) -> list[SandboxToken]:
        """One token for each answer that a token's state decides; the page's first."""
        bc, unionpay = BinRange("535020"), BinRange("620000")
        return [
            _token(PAGE_PAN, "active"),
            *(
                _token(make_pan(bc, self._entropy).reveal(), state)
                for state in ("suspended", "deleted", "expired", "exhausted")
            ),
            _token(make_pan(unionpay, self._entropy).reveal(), "active", profile="unionpay"),
        ]

    async def _add_requestors(self) -> None:
        present = {requestor.requestor_id for requestor in self._directory.requestors}
        for requestor in _requestors(self._now_s):
            if requestor.requestor_id not in present:
                await self._store.put_requestor(_ACTOR, requestor, self._now_s)

    async def _add_credentials(self, file: SandboxFile, revoke_others: bool) -> None:
        wanted = {
            REQUESTOR_ID: file.authorization,
            AUTHORISER_ID: file.authoriser.authorization,
            OPERATOR_ID: file.operator.authorization,
            SUSPENDED_REQUESTOR_ID: file.suspended_requestor.authorization,
        }
        digests = {requestor_id: credential_digest(text) for requestor_id, text in wanted.items()}
        known = {credential.digest for credential in self._directory.credentials}
        for requestor_id, digest in digests.items():
            if digest not in known:
                credential = Credential(self._entropy(8).hex(), requestor_id, digest, self._now_s)
                await self._store.add_credential(_ACTOR, credential)
        if revoke_others:
            for credential in self._directory.credentials:
                if credential.requestor_id in digests and credential.revoked_at_s is None:
                    await self._store.revoke_credential(_ACTOR, credential.credential_id, self._now_s)

    async def _add_keys(self, file: SandboxFile) -> None:
        missing = [
            self._wrapped(name, algorithm, bytes.fromhex(key_hex), KeyState.ACTIVE)
            for name, algorithm, key_hex in _planned_keys(file)
            if not self._is_present(name, algorithm, key_hex)
        ]
        for state in (KeyState.RETIRED, KeyState.PENDING):
            version = file.refused_key_versions.get(state.value, "")
            for name, algorithm in _refused_keys(version):
                if version and self._keyring.find(name.purpose, name.owner, name.name, version) is None:
                    missing.append(self._wrapped(name, algorithm, self._entropy(KEY_BYTES[algorithm]), state))
        if missing:
            await self._store.put_keys(_ACTOR, missing, "key.sandbox", self._now_s)

    def _is_present(self, name: KeyName, algorithm: str, key_hex: str) -> bool:
        entry = self._keyring.find(name.purpose, name.owner, name.name, name.version)
        if entry is not None and entry.kcv != check_value(algorithm, bytes.fromhex(key_hex)):
            raise ConfigError(
                f"{FILE_NAME} belongs to another database: its {name} is not the one there; "
                "delete the file to have it made anew"
            )
        return entry is not None

    def _wrapped(self, name: KeyName, algorithm: str, key: bytes, state: KeyState) -> WrappedKey:
        return wrap_key(self._kek, name, algorithm, Secret(key), state, self._now_s)

    async def _add_tokens(self, planned: Sequence[SandboxToken]) -> None:
        drafts = []
        for token in planned:
            pan = TokenPan(token.pan)
            if await self._store.token_by_index(self._vault.index(token.pan)) is not None:
                continue
            order = TokenOrder(
                REQUESTOR_ID,
                token.expiry,
                psn=token.psn,
                service_code=token.service_code,
                discretionary=token.discretionary,
                funding_ref=f"sandbox-{token.state}",
            )
            draft = draft_token(
                self._vault,
                order,
                pan,
                profile=token.profile,
                token_id=new_token_id(self._entropy),
                now_s=self._now_s,
            )
            drafts.append(msgspec.structs.replace(draft, **_RECORDED.get(token.state, {})))
        if drafts:
            await self._store.add_tokens(_ACTOR, drafts)


# What a planned state means in a token's record; expiry is in the plan itself.
_RECORDED: Final[dict[str, dict[str, Any]]] = {
    "suspended": {"state": TokenState.SUSPENDED},
    "deleted": {"state": TokenState.DELETED},
    "exhausted": {"atc": ATC_MAX},
}


def _token(pan: str, state: str, profile: str = "bc-domestic") -> SandboxToken:
    return SandboxToken(
        pan=pan,
        psn="02",
        expiry="2007" if state == "expired" else "3012",  # 2007 is the page's own, which is past
        state=state,
        profile=profile,
        service_code="601",
        discretionary="0000000000099",
    )


def _requestors(now_s: int) -> list[Requestor]:
    def made(requestor_id: str, name: str, role: Role, suspended: bool = False) -> Requestor:
        return Requestor(
            requestor_id=requestor_id,
            name=name,
            role=role,
            suspended=suspended,
            sandbox=True,
            hash_crc=HashMode.HMAC_SHA256,
            created_at_s=now_s,
        )

    return [
        made(REQUESTOR_ID, "Sandbox wallet", Role.REQUESTOR),
        made(SUSPENDED_REQUESTOR_ID, "Suspended sandbox wallet", Role.REQUESTOR, suspended=True),
        made(AUTHORISER_ID, "Sandbox authoriser", Role.AUTHORISER),
        made(OPERATOR_ID, "Sandbox operator", Role.OPERATOR),
    ]


def _transport_algorithms() -> dict[str, str]:
    """CRYPTO_TYPE → algorithm, for those that take a key."""
    suites = {code: find_suite(name) for code, name in DEFAULT_CRYPTO_TYPES.items()}
    return {code: transport_algorithm(suite) for code, suite in suites.items() if suite.key_bytes}


def _issuer_keys() -> list[tuple[str, str, str]]:
    """Profile, derivation key index, algorithm, for the built-in profiles that make cryptograms."""
    algorithms = {name: Profile.load(name).master_key_algorithm for name in BUILT_IN}
    return [
        (name, _DKI.get(name, _DKI_DEFAULT), algorithm) for name, algorithm in algorithms.items() if algorithm
    ]


def _planned_keys(file: SandboxFile) -> list[tuple[KeyName, str, str]]:
    """Name, algorithm and hex of all keys that a file holds."""
    transport, issuer = _transport_algorithms(), {name: algorithm for name, _, algorithm in _issuer_keys()}
    requestor_id = file.requestor_id
    unknown = (file.crypto_types.keys() - transport.keys()) | (file.issuer_keys.keys() - issuer.keys())
    if unknown:
        raise ConfigError(f"{FILE_NAME}: there is no CRYPTO_TYPE or profile {min(unknown)!r} in a sandbox")
    return [
        *(
            (KeyName(KeyPurpose.TRANSPORT, requestor_id, code, key.key_ver), transport[code], key.key_hex)
            for code, key in file.crypto_types.items()
        ),
        *(
            (KeyName(KeyPurpose.ISSUER_MASTER, profile, "", key.dki), issuer[profile], key.master_key_hex)
            for profile, key in file.issuer_keys.items()
        ),
        (
            KeyName(KeyPurpose.HASH_CRC, requestor_id, "", KEY_VERSION),
            "hmac-sha256",
            file.hash_crc.key_hex,
        ),
        (KeyName(KeyPurpose.WEBHOOK, requestor_id, "", "1"), "hmac-sha256", file.webhook.key_hex),
    ]


def _refused_keys(version: str) -> list[tuple[KeyName, str]]:
    """The keys of a version that is not live: one of each kind is enough to be refused."""
    return [
        (KeyName(KeyPurpose.TRANSPORT, REQUESTOR_ID, "01", version), _transport_algorithms()["01"]),
        (KeyName(KeyPurpose.HASH_CRC, REQUESTOR_ID, "", version), "hmac-sha256"),
    ]
