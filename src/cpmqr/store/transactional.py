"""Everything but the main job, once for both databases: each method is one transaction over `store/*.py`'s steps.

A backend adds how a transaction is opened (`_read`, `_write`), `issue`, and what is the database's own affair:
`upgrade`, `prepare_days`, `purge`, `ping`, `close`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from cpmqr.model import Credential, IssueState, Requestor, Token, TokenState, WrappedKey
from cpmqr.store import audit, directory, outbox, tokens, verification
from cpmqr.store.base import Actor, AuditEntry, Claimed, ClaimIntent, Connections, Directory, Event, Found
from cpmqr.store.transaction import Transaction

P = ParamSpec("P")
Result = TypeVar("Result")
Step = Callable[Concatenate[Transaction, P], Coroutine[Any, Any, Result]]


class TransactionalStore(abc.ABC):
    """`DirectoryStore`, `TokenStore`, `VerificationStore` and `AuditStore` over either database."""

    @property
    def connections(self) -> Connections:
        """How busy the pool is; a backend without one leaves it at that."""
        return Connections()

    @abc.abstractmethod
    async def _read(self, step: Step[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Carry out a step that only reads, over one snapshot."""

    @abc.abstractmethod
    async def _write(self, step: Step[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Carry out a step in a transaction, and commit it durably."""

    async def directory_version(self) -> int:
        return await self._read(directory.version)

    async def directory(self) -> Directory:
        return await self._read(directory.read)

    async def put_requestor(self, actor: Actor, requestor: Requestor, now_s: int) -> None:
        await self._write(directory.put_requestor, actor, requestor, now_s)

    async def add_credential(self, actor: Actor, credential: Credential) -> None:
        await self._write(directory.add_credential, actor, credential)

    async def revoke_credential(self, actor: Actor, credential_id: str, now_s: int) -> bool:
        return await self._write(directory.revoke_credential, actor, credential_id, now_s)

    async def put_keys(self, actor: Actor, keys: Sequence[WrappedKey], action: str, now_s: int) -> None:
        await self._write(directory.put_keys, actor, keys, action, now_s)

    async def confirm_directory(self) -> None:
        await self._write(directory.confirm)

    async def add_tokens(self, actor: Actor, new: Sequence[Token]) -> list[bool]:
        return await self._write(tokens.add, actor, new)

    async def token(self, token_id: int) -> Token | None:
        return await self._read(tokens.by_id, token_id)

    async def token_by_index(self, pan_index: bytes) -> Token | None:
        return await self._read(tokens.by_index, pan_index)

    async def list_tokens(
        self, *, requestor_id: str = "", state: str = "", after: int = 0, limit: int = 100
    ) -> list[Token]:
        return await self._read(tokens.page, requestor_id, state, after, limit)

    async def set_token_state(
        self, actor: Actor, token_id: int, state: TokenState, allowed_from: Sequence[TokenState], now_s: int
    ) -> Token | None:
        return await self._write(tokens.set_state, actor, token_id, state, allowed_from, now_s)

    async def reseal_tokens(self, changes: Sequence[tuple[int, str, bytes, str]]) -> int:
        return await self._write(tokens.reseal, changes)

    async def find_issue(self, pan_index: bytes, atc: int) -> Found | None:
        return await self._read(verification.find, pan_index, atc)

    async def issue_of(self, token_id: int, atc: int) -> Found | None:
        return await self._read(verification.of, token_id, atc)

    async def claim(self, intents: Sequence[ClaimIntent]) -> list[Claimed]:
        return await self._write(verification.claim, intents)

    async def revoke_issues(
        self, actor: Actor, requestor_id: str, issues: Sequence[tuple[int, int]], now_s: int
    ) -> list[IssueState | None]:
        return await self._write(verification.revoke, actor, requestor_id, issues, now_s)

    async def audit(
        self, actor: Actor, action: str, subject: str, detail: Mapping[str, Any], now_s: int
    ) -> None:
        await self._write(audit.write_line, actor, action, subject, detail, now_s)

    async def audit_page(self, *, after: int = 0, limit: int = 100) -> list[AuditEntry]:
        return await self._read(audit.page, after, limit)

    async def audit_head(self) -> tuple[int, bytes]:
        return await self._read(audit.head)

    async def due_events(self, now_s: int, lease_s: int, limit: int) -> list[Event]:
        return await self._write(outbox.take_due, now_s, lease_s, limit)

    async def settle_event(
        self, event_id: str, *, state: str, next_at_s: int, attempts: int, last_error: str
    ) -> None:
        await self._write(outbox.settle, event_id, state, next_at_s, attempts, last_error)

    async def event(self, event_id: str) -> Event | None:
        return await self._read(outbox.by_id, event_id)

    async def list_events(self, *, state: str = "", after: str = "", limit: int = 100) -> list[Event]:
        return await self._read(outbox.page, state, after, limit)
