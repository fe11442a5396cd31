"""What a store promises, whichever database is behind it.

Batch-first: the main job hands over all intents that wait, and gets an outcome for each from one durable
transaction. An outcome that has been returned survives SIGKILL and power loss; an ATC is never given twice.

Every method raises `StoreUnavailable` when nothing was stored, and `OutcomeUnknown` when the connection was lost
after the commit had been asked for. Times are whole seconds since the Unix epoch, handed in by the caller.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from cpmqr.model import Credential, Issue, IssueState, Requestor, Token, TokenState, WrappedKey


class IssueIntent(msgspec.Struct, frozen=True, gc=False):
    """One wallet's wish for a QR, checked as far as it can be without the store.

    Attributes:
        digest: 16 bytes, keyed hash of the request's content; equal means "the same request again".
        pan_index: 16 bytes, blind index of the digital PAN.
        unpredictable_number: 4 bytes, used if this becomes a new issue.
        stale: the request time is outside its window: no new issue, but a retry is still answered.
        month: yymm in Korean time, against which the token's expiry is held.
        profile: the profile that DNF_DV chose, or "" for the token's own.
    """

    requestor_id: str
    trace_no: str
    digest: bytes
    pan_index: bytes
    unpredictable_number: bytes
    issued_at_s: int
    expires_at_s: int
    month: str
    stale: bool = False
    profile: str = ""
    app_dv: str = ""


class Issued(msgspec.Struct, frozen=True, gc=False):
    """The outcome of a good intent: all that the payload is computed from, but the PAN.

    `repeated` tells a retry from a new issue.
    """

    token_id: int
    psn: str
    expiry: str
    service_code: str
    discretionary: str
    profile: str
    dki: str
    atc: int
    unpredictable_number: bytes
    issued_at_s: int
    expires_at_s: int
    repeated: bool


class NotIssued(enum.Enum):
    """Why an intent stored nothing; the value is the code of contract §6. Checked in this order."""

    DUPLICATE_TRACE = "5001"
    STALE = "3006"
    NO_TOKEN = "4001"
    DELETED = "4003"
    SUSPENDED = "4002"
    EXPIRED = "4004"
    EXHAUSTED = "4006"
    NO_ISSUER_KEY = "9002"


IssueOutcome = Issued | NotIssued


class Directory(msgspec.Struct, frozen=True):
    """All that a gateway keeps in memory: who may ask, with which keys. `version` grows with every change."""

    version: int
    requestors: tuple[Requestor, ...]
    credentials: tuple[Credential, ...]
    keys: tuple[WrappedKey, ...]


class Found(msgspec.Struct, frozen=True):
    """An issue with its token, as verification needs them."""

    issue: Issue
    token: Token


class ClaimIntent(msgspec.Struct, frozen=True):
    """An authoriser's claim on an issue whose cryptogram has been judged.

    Attributes:
        digest: 16 bytes, hash of what was asked; the same authorization_id with another digest is a duplicate.
        found: token_id and atc, or None where no issue could be named.
        refused: the code where the judgement was already negative (5004, 5007, 5003…), else "".
        answer: what to store and to repeat with the code, whichever it becomes: JSON bytes of what the QR is.
        event_body: what the requestor's webhook is told if the claim is granted, JSON bytes; b"" tells nothing.
    """

    authoriser_id: str
    authorization_id: str
    digest: bytes
    now_s: int
    token_id: int | None
    atc: int | None
    refused: str
    answer: bytes
    event_body: bytes = b""


class Claimed(msgspec.Struct, frozen=True):
    """What came of a claim.

    Attributes:
        code: "0000" where this authorization_id has the QR, else the code of its refusal; "5001" where it had been
            answered with other content.
        answer: the JSON stored at the first asking; b"" with 5001. It is the intent's, so it says nothing of the code.
        repeated: this authorization_id had been answered before.
    """

    code: str
    answer: bytes
    repeated: bool


class AuditEntry(msgspec.Struct, frozen=True):
    """One line of the audit: who did what to what, when, from where. PANs masked, nothing secret.

    `seq` runs without gaps; `chain` is SHA-256 over the previous line's chain and this line's canonical JSON.
    """

    seq: int
    at_s: int
    actor: str
    source: str
    action: str
    subject: str
    detail: Mapping[str, Any]
    chain: bytes


class Event(msgspec.Struct, frozen=True):
    """A notification in the outbox. state: pending, delivered, dead."""

    event_id: str
    requestor_id: str
    kind: str
    body: bytes
    created_at_s: int
    next_at_s: int
    attempts: int
    state: str
    last_error: str = ""


class Actor(msgspec.Struct, frozen=True):
    """Who changes something, for the audit: a principal's id or an OS user, and an address or "cli"."""

    name: str
    source: str


class IssueStore(Protocol):
    """The main job."""

    async def issue(
        self, intents: Sequence[IssueIntent], issuer_keys: Mapping[str, str]
    ) -> list[IssueOutcome]:
        """Carry out all intents in one durable transaction, in their order; outcomes in the same order.

        A later intent of the same batch sees what an earlier one did. `issuer_keys` maps a profile's name to the
        derivation key index (2 hex digits) with which new issues are made; a profile that is not in it gives
        `NotIssued.NO_ISSUER_KEY` and uses no ATC.
        """
        ...


class DirectoryStore(Protocol):
    """Requestors, credentials and keys. Every change is audited, and grows the directory's version."""

    async def directory_version(self) -> int: ...
    async def directory(self) -> Directory: ...
    async def put_requestor(self, actor: Actor, requestor: Requestor, now_s: int) -> None: ...
    async def add_credential(self, actor: Actor, credential: Credential) -> None: ...
    async def revoke_credential(self, actor: Actor, credential_id: str, now_s: int) -> bool: ...
    async def put_keys(self, actor: Actor, keys: Sequence[WrappedKey], action: str, now_s: int) -> None:
        """Insert or replace key versions (by purpose, owner, name and version) in one transaction."""
        ...

    async def confirm_directory(self) -> None:
        """Return when every change that the directory shows is as safe as a commit that is answered.

        For who says that something is so already: what was read may still be taken away by a failover.
        """
        ...


class TokenStore(Protocol):
    """Tokens and their life."""

    async def add_tokens(self, actor: Actor, tokens: Sequence[Token]) -> list[bool]:
        """Store new tokens in one transaction; False where the PAN index is already taken."""
        ...

    async def token(self, token_id: int) -> Token | None: ...
    async def token_by_index(self, pan_index: bytes) -> Token | None: ...
    async def list_tokens(
        self, *, requestor_id: str = "", state: str = "", after: int = 0, limit: int = 100
    ) -> list[Token]:
        """Give up to `limit` tokens with `token_id` above `after`, in its order."""
        ...

    async def set_token_state(
        self, actor: Actor, token_id: int, state: TokenState, allowed_from: Sequence[TokenState], now_s: int
    ) -> Token | None:
        """Change the state if it is one of `allowed_from`; return the token as it is afterwards, None if absent."""
        ...

    async def reseal_tokens(self, changes: Sequence[tuple[int, str, bytes, str]]) -> int:
        """Replace sealed PANs: (token_id, vault_key_ver expected, new pan_sealed, new vault_key_ver)."""
        ...


class VerificationStore(Protocol):
    """The authoriser's side."""

    async def find_issue(self, pan_index: bytes, atc: int) -> Found | None: ...
    async def issue_of(self, token_id: int, atc: int) -> Found | None: ...
    async def claim(self, intents: Sequence[ClaimIntent]) -> list[Claimed]:
        """Consume issues, once each, in one durable transaction; outcomes in order.

        Inside it: the authorization_id's earlier answer; else the refusal given; else 5005 used, 5006 revoked,
        4002 and 4003 by the token's state, 2003 by the requestor's; else the issue becomes used and, where its
        requestor has a webhook, an event `qr.used` goes to the outbox.
        """
        ...

    async def revoke_issues(
        self, actor: Actor, requestor_id: str, issues: Sequence[tuple[int, int]], now_s: int
    ) -> list[IssueState | None]:
        """Revoke issued QRs of this requestor; the state afterwards for each, None where there is no such issue."""
        ...


class AuditStore(Protocol):
    """The audit trail, and the outbox beside it."""

    async def audit(
        self, actor: Actor, action: str, subject: str, detail: Mapping[str, Any], now_s: int
    ) -> None: ...
    async def audit_page(self, *, after: int = 0, limit: int = 100) -> list[AuditEntry]: ...
    async def audit_head(self) -> tuple[int, bytes]:
        """Give seq and chain of the last line written; (0, b"") before the first. A cut tail shows against it."""
        ...

    async def due_events(self, now_s: int, lease_s: int, limit: int) -> list[Event]:
        """Take events that are due, and put them off by `lease_s`, so that no other worker takes them meanwhile."""
        ...

    async def settle_event(
        self, event_id: str, *, state: str, next_at_s: int, attempts: int, last_error: str
    ) -> None: ...
    async def event(self, event_id: str) -> Event | None: ...
    async def list_events(self, *, state: str = "", after: str = "", limit: int = 100) -> list[Event]: ...


class Connections(msgspec.Struct, frozen=True):
    """How busy a store's pool is: connections at work, and how many there may be; 0 of 0 without a pool."""

    in_use: int = 0
    size: int = 0


class Store(IssueStore, DirectoryStore, TokenStore, VerificationStore, AuditStore, Protocol):
    """Everything; each service takes the smaller protocol that it needs."""

    @property
    def connections(self) -> Connections: ...

    async def schema_version(self) -> int:
        """Give the schema's version; 0 for an empty database."""
        ...

    async def upgrade(self) -> list[str]:
        """Bring the schema up to date; the names of the steps taken."""
        ...

    async def prepare_days(self, now_s: int) -> list[str]:
        """Make room for the issues of the coming days, once a day or oftener; the names of what was made.

        PostgreSQL makes a partition for each day ahead; SQLite needs none. Where this was not called in time,
        issues go to a default partition, and nothing fails.
        """
        ...

    async def purge(self, before_s: int, limit: int) -> int:
        """Remove what is older than `before_s`: one small step of at most about `limit` rows of each kind.

        Issues with their trace numbers, verifications, and delivered events. PostgreSQL keeps issues until their
        whole day (UTC) is older. Returns how many rows went; call again until it gives 0.
        """
        ...

    async def ping(self) -> None:
        """Return when the database answers."""
        ...

    async def close(self) -> None: ...
