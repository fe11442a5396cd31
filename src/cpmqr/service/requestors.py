"""Requestors, authorisers and operators: made, changed, suspended; and the credentials that they show.

A credential is 32 random bytes, written in 43 characters. It is shown once and kept as its SHA-256. Two may be live
at a time, so that one is replaced without an outage: add, roll out, revoke the other.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from cpmqr.crypto.suites import DEFAULT_CRYPTO_TYPES, find_suite
from cpmqr.errors import Refusal
from cpmqr.model import Credential, HashMode, Requestor, Role, Secret
from cpmqr.store.base import Actor, DirectoryStore
from cpmqr.wire import codes

Entropy = Callable[[int], bytes]

CREDENTIAL_BYTES: Final = 32
LIVE_CREDENTIALS_MAX: Final = 2  # the one in use and the one that replaces it
NAME_CHARACTERS_MAX: Final = 100
NETWORKS_MAX: Final = 64  # each request from a restricted requestor is held against all of them
RATE_LIMIT_MAX: Final = 1_000_000  # more than any gateway serves: a slip
WEBHOOK_CHARACTERS_MAX: Final = 512
_REQUESTOR_ID: Final = re.compile(r"[0-9]{11}")
_OTHER_ID: Final = re.compile(r"[a-z][a-z0-9-]{2,31}")


class NewCredential(msgspec.Struct, frozen=True):
    """A credential at its birth: the only time that its text is known here. Prints without it."""

    credential: Credential
    text: Secret

    def reveal_text(self) -> str:
        """Give what goes into the Authorization header."""
        return self.text.reveal().decode()


class Requestors:
    """Who may ask.

    Args:
        crypto_types: the deployment's table of CRYPTO_TYPE code → scheme name.
    """

    def __init__(
        self,
        store: DirectoryStore,
        crypto_types: Mapping[str, str] = DEFAULT_CRYPTO_TYPES,
        entropy: Entropy = os.urandom,
    ) -> None:
        self._store = store
        self._crypto_types = crypto_types
        self._entropy = entropy
        # A change reads, then writes the whole record: two at once must not undo each other.
        self._one_at_a_time = asyncio.Lock()

    async def create(self, actor: Actor, requestor: Requestor, now_s: int) -> Requestor:
        """Add a requestor, authoriser or operator; it has no credential yet.

        Raises:
            Refusal: 1003 names the field and its rule; also when the id is taken.
        """
        created = msgspec.structs.replace(requestor, created_at_s=now_s)
        check_requestor(created, self._crypto_types)
        async with self._one_at_a_time:
            if await self._find(created.requestor_id) is not None:
                await self._store.confirm_directory()
                raise Refusal(codes.MEMBER_WRONG, "requestor_id: it is taken")
            await self._store.put_requestor(actor, created, now_s)
        return created

    async def change(self, actor: Actor, requestor_id: str, now_s: int, /, **changes: Any) -> Requestor:
        """Change settings; id, role and time of birth stay.

        Raises:
            Refusal: 1003 names the field and its rule; also when there is no such requestor.
        """
        unknown = changes.keys() - _CHANGEABLE
        if unknown:
            raise Refusal(codes.MEMBER_WRONG, f"{sorted(unknown)[0]}: this can't be changed")
        async with self._one_at_a_time:
            before = await self._get(requestor_id)
            after = msgspec.structs.replace(before, **changes)
            check_requestor(after, self._crypto_types)
            if after == before:
                await self._store.confirm_directory()
            else:
                await self._store.put_requestor(actor, after, now_s)
        return after

    async def suspend(self, actor: Actor, requestor_id: str, now_s: int) -> Requestor:
        """Refuse all that it asks with 2003, until resumed; its live QRs do not verify meanwhile."""
        return await self.change(actor, requestor_id, now_s, suspended=True)

    async def resume(self, actor: Actor, requestor_id: str, now_s: int) -> Requestor:
        """Serve a suspended requestor again."""
        return await self.change(actor, requestor_id, now_s, suspended=False)

    async def get(self, requestor_id: str) -> Requestor:
        """Find one by its id.

        Raises:
            Refusal: 1003.
        """
        return await self._get(requestor_id)

    async def page(self, *, after: str = "", limit: int = 100) -> list[Requestor]:
        """List them by id, those above `after`, up to `limit`."""
        directory = await self._store.directory()
        above = (requestor for requestor in directory.requestors if requestor.requestor_id > after)
        return sorted(above, key=lambda requestor: requestor.requestor_id)[:limit]

    async def credentials(self, requestor_id: str) -> list[Credential]:
        """List its live credentials, the oldest first; what is known of one is its digest."""
        directory = await self._store.directory()
        live = (
            credential
            for credential in directory.credentials
            if credential.requestor_id == requestor_id and credential.revoked_at_s is None
        )
        return sorted(live, key=_age)

    async def add_credential(self, actor: Actor, requestor_id: str, now_s: int) -> NewCredential:
        """Make a credential.

        Raises:
            Refusal: 1003, no such requestor, or it has two live ones.
        """
        new = new_credential(requestor_id, now_s, self._entropy)
        async with self._one_at_a_time:
            await self._get(requestor_id)
            if len(await self.credentials(requestor_id)) >= LIVE_CREDENTIALS_MAX:
                raise _two_are_live()
            await self._store.add_credential(actor, new.credential)
            # Another process may have added one at the same moment: whoever then sees three takes its own back.
            if len(await self.credentials(requestor_id)) > LIVE_CREDENTIALS_MAX:
                await self._store.revoke_credential(actor, new.credential.credential_id, now_s)
                raise _two_are_live()
        return new

    async def revoke_credential(
        self, actor: Actor, credential_id: str, now_s: int, *, requestor_id: str | None = None
    ) -> bool:
        """End a credential; every worker refuses it within 5 s. False where there is none that is live.

        Args:
            requestor_id: whose it has to be, for who may not revoke any other's.
        """
        if requestor_id is not None:
            known = (await self._store.directory()).credentials
            if (credential_id, requestor_id) not in [
                (each.credential_id, each.requestor_id) for each in known
            ]:
                return False
        return await self._store.revoke_credential(actor, credential_id, now_s)

    async def _find(self, requestor_id: str) -> Requestor | None:
        directory = await self._store.directory()
        return next((one for one in directory.requestors if one.requestor_id == requestor_id), None)

    async def _get(self, requestor_id: str) -> Requestor:
        requestor = await self._find(requestor_id)
        if requestor is None:
            raise Refusal(codes.MEMBER_WRONG, "requestor_id: there is no such requestor")
        return requestor


def new_credential(requestor_id: str, now_s: int, entropy: Entropy) -> NewCredential:
    """Make a credential; stores nothing."""
    text = base64.urlsafe_b64encode(entropy(CREDENTIAL_BYTES)).rstrip(b"=")
    credential = Credential(
        credential_id=entropy(8).hex(),
        requestor_id=requestor_id,
        digest=credential_digest(text.decode()),
        created_at_s=now_s,
    )
    return NewCredential(credential, Secret(text))


def credential_digest(text: str) -> bytes:
    """Give what is stored of a credential: SHA-256 of its characters as the header carries them."""
    return hashlib.sha256(text.encode()).digest()


def check_requestor(requestor: Requestor, crypto_types: Mapping[str, str]) -> None:
    """Hold a requestor's settings against the rules.

    Raises:
        Refusal: 1003 names the first field that is wrong.
    """
    id_rule = _REQUESTOR_ID if requestor.role is Role.REQUESTOR else _OTHER_ID
    checks = (
        (
            bool(id_rule.fullmatch(requestor.requestor_id)),
            "requestor_id: 11 digits; for an authoriser or operator 3 to 32 small letters, digits and dashes",
        ),
        (
            0 < len(requestor.name) <= NAME_CHARACTERS_MAX and requestor.name.isprintable(),
            f"name: 1 to {NAME_CHARACTERS_MAX} printable characters",
        ),
        (len(requestor.networks) <= NETWORKS_MAX, f"networks: at most {NETWORKS_MAX}"),
        (
            all(map(_is_network, requestor.networks)),
            "networks: CIDR, such as 192.0.2.0/24, without host bits",
        ),
        (_is_rate(requestor.rate_limit_per_s), f"rate_limit_per_s: 0 to {RATE_LIMIT_MAX}"),
        (_is_rate(requestor.token_rate_limit_per_s), f"token_rate_limit_per_s: 0 to {RATE_LIMIT_MAX}"),
        (
            _is_webhook(requestor.webhook_url, requestor.sandbox),
            "webhook_url: an https:// address, without userinfo",
        ),
    )
    for is_right, rule in checks:
        if not is_right:
            raise Refusal(codes.MEMBER_WRONG, rule)
    _check_crypto_types(requestor, crypto_types)


def _check_crypto_types(requestor: Requestor, crypto_types: Mapping[str, str]) -> None:
    for code in requestor.crypto_types:
        if code not in crypto_types:
            raise Refusal(codes.MEMBER_WRONG, f"crypto_types: out of {', '.join(sorted(crypto_types))}")
        suite = find_suite(crypto_types[code])
        if suite.sandbox_only and not requestor.sandbox:
            raise Refusal(codes.MEMBER_WRONG, f"crypto_types: {code} is for sandbox requestors alone")
        if suite.needs_hmac and requestor.hash_crc is not HashMode.HMAC_SHA256:
            raise Refusal(
                codes.MEMBER_WRONG,
                f"crypto_types: {code} does not authenticate by itself, so hash_crc must be hmac-sha256",
            )


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _is_rate(value: int) -> bool:
    return 0 <= value <= RATE_LIMIT_MAX


def _is_webhook(url: str, is_sandbox: bool) -> bool:
    """Whether an address may be told of results; plain HTTP in the sandbox alone. Where it leads, the sender checks."""
    if not url:
        return True
    if len(url) > WEBHOOK_CHARACTERS_MAX or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        return False
    schemes: Sequence[str] = ("https", "http") if is_sandbox else ("https",)
    return parts.scheme in schemes and bool(parts.hostname) and "@" not in parts.netloc and port_is_right


def _age(credential: Credential) -> tuple[int, str]:
    return credential.created_at_s, credential.credential_id


def _two_are_live() -> Refusal:
    return Refusal(
        codes.MEMBER_WRONG, f"credential: {LIVE_CREDENTIALS_MAX} are live already, revoke one first"
    )


_CHANGEABLE: Final = frozenset(Requestor.__struct_fields__) - {"requestor_id", "role", "created_at_s"}
