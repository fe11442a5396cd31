"""A standby that has to confirm each commit, and is gone: a repeat, too, is answered only when it is back.

A commit that waits for its standby is on the primary's disk already. When its wait ends in another way (its
connection or the primary is lost), everybody there sees what a failover still may take away.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final

import asyncpg
import pytest
from tests.store.conftest import own_server
from tests.store.test_verification import claim
from tests.store.world import (
    ACTOR,
    KEYS,
    NOW_S,
    REQUESTOR_ID,
    codes,
    intent,
    issue_one,
    requestor,
    token,
    with_tokens,
)

from cpmqr.errors import ConfigError, OutcomeUnknown, Refusal
from cpmqr.keys.software import SoftwareKek
from cpmqr.model import Credential, KeyPurpose, Role, Secret, TokenState
from cpmqr.service.key_admin import KeyAdmin
from cpmqr.service.key_names import KeyName
from cpmqr.service.requestors import Requestors
from cpmqr.store.base import ClaimIntent, IssueIntent
from cpmqr.store.postgres import PostgresStore

pytestmark = pytest.mark.anyio

WAITING: Final = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
WRITE: Final = "SELECT pg_logical_emit_message(true, 'test', '')"
STEP_S: Final = 0.01
STEPS_MAX: Final = 1000  # ten seconds: a shared machine has its moments

CREDENTIAL: Final = Credential("0123456789abcdef", REQUESTOR_ID, b"digest".ljust(32, b"."), NOW_S)

KEK: Final = SoftwareKek(Secret(b"k" * 32))
PENDING: Final = KeyName(KeyPurpose.TRANSPORT, REQUESTOR_ID, "01", "01")
HASH_KEY: Final = KeyName(KeyPurpose.HASH_CRC, REQUESTOR_ID, "", "01")

Ask = Callable[[PostgresStore], Coroutine[Any, Any, list[str]]]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a server whose settings are this file's own."""
    with own_server() as url:
        yield url


@pytest.fixture
async def store(server: str, anyio_backend: str) -> AsyncIterator[PostgresStore]:
    """A store with tokens 1 and 2, one issue of token 1, a credential, and a key that is not active yet."""
    schema = f"test_{secrets.token_hex(6)}"
    async with connected(server) as connection:
        await connection.execute(f"CREATE SCHEMA {schema}")
    opened = PostgresStore(f"{server}&search_path={schema}")
    await opened.upgrade()
    await with_tokens(opened, token(1), token(2))
    await issue_one(opened, intent("T1"))
    await opened.add_credential(ACTOR, CREDENTIAL)
    await KeyAdmin(opened, KEK).generate(ACTOR, PENDING, NOW_S)
    yield opened
    await opened.close()


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        connection.terminate()


@contextlib.asynccontextmanager
async def without_its_standby(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Let every commit wait for a standby that does not exist; at the end none is asked for any more."""
    async with connected(url) as operator:
        await operator.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        await operator.execute("SELECT pg_reload_conf()")
        try:
            await _until_commits_wait(url, operator)
            yield operator
        finally:
            await operator.execute("ALTER SYSTEM RESET synchronous_standby_names")
            await operator.execute("SELECT pg_reload_conf()")


async def _until_commits_wait(url: str, operator: asyncpg.Connection) -> None:
    waits = False
    while not waits:  # the setting comes into force a moment after it was asked for
        async with connected(url) as writer:
            writing = asyncio.ensure_future(writer.execute(WRITE))
            waits = await waits_for_standby(operator, writing)
            await end_waiting(operator)
            await asyncio.wait([writing])
            writing.exception()


async def waits_for_standby(operator: asyncpg.Connection, asking: asyncio.Future[Any]) -> bool:
    """Tell whether a commit waits for the standby; False where the question is answered instead."""
    for _ in range(STEPS_MAX):
        if await operator.fetchval(WAITING):
            return not asking.done()
        if asking.done():
            return False
        await asyncio.sleep(STEP_S)
    raise AssertionError("neither an answer, nor a commit that waits for its standby")


async def end_waiting(operator: asyncpg.Connection) -> None:
    """End the waiting commits by ending their connections: what they wrote is to be seen from now on."""
    await operator.execute(f"SELECT pg_terminate_backend(pid) FROM ({WAITING}) AS waiting")


def issues(*intents: IssueIntent) -> Ask:
    async def ask(store: PostgresStore) -> list[str]:
        return codes(await store.issue(intents, KEYS))

    return ask


def claims(*intents: ClaimIntent) -> Ask:
    async def ask(store: PostgresStore) -> list[str]:
        return [("=" if each.repeated else "") + each.code for each in await store.claim(intents)]

    return ask


def adds(*numbers: int) -> Ask:
    async def ask(store: PostgresStore) -> list[str]:
        # A repeated order is drawn up anew: the PAN is the same, and the token's id is another.
        new = [token(number, token_id=secrets.randbits(62)) for number in numbers]
        return ["added" if each else "taken" for each in await store.add_tokens(ACTOR, new)]

    return ask


async def revokes_credential(store: PostgresStore) -> list[str]:
    revoked = await store.revoke_credential(ACTOR, CREDENTIAL.credential_id, NOW_S)
    return ["revoked" if revoked else "before"]


async def suspends(store: PostgresStore) -> list[str]:
    after = await store.set_token_state(ACTOR, 1, TokenState.SUSPENDED, [TokenState.ACTIVE], NOW_S)
    return [after.state.value] if after else []


async def revokes_issue(store: PostgresStore) -> list[str]:
    states = await store.revoke_issues(ACTOR, REQUESTOR_ID, [(1, 1)], NOW_S)
    return [state.value for state in states if state]


async def revokes_its_credential(store: PostgresStore) -> list[str]:
    revoked = await Requestors(store).revoke_credential(
        ACTOR, CREDENTIAL.credential_id, NOW_S, requestor_id=REQUESTOR_ID
    )
    return ["revoked" if revoked else "before"]


async def suspends_requestor(store: PostgresStore) -> list[str]:
    return [str((await Requestors(store).suspend(ACTOR, REQUESTOR_ID, NOW_S)).suspended)]


async def creates_authoriser(store: PostgresStore) -> list[str]:
    try:
        await Requestors(store).create(ACTOR, requestor("authoriser", role=Role.AUTHORISER), NOW_S)
    except Refusal as refusal:
        return [refusal.cause]
    return ["created"]


def with_keys(step: Callable[[KeyAdmin], Coroutine[Any, Any, object]]) -> Ask:
    async def ask(store: PostgresStore) -> list[str]:
        try:
            await step(KeyAdmin(store, KEK))
        except ConfigError as error:
            return [str(error)]
        return []

    return ask


def initialises() -> Ask:
    return with_keys(lambda keys: keys.init(ACTOR, NOW_S))


def activates() -> Ask:
    return with_keys(lambda keys: keys.activate(ACTOR, PENDING, NOW_S))


def retires() -> Ask:
    return with_keys(lambda keys: keys.retire(ACTOR, PENDING, NOW_S))


def generates() -> Ask:
    return with_keys(lambda keys: keys.generate(ACTOR, HASH_KEY, NOW_S))


async def puts_requestor(store: PostgresStore) -> list[str]:
    await store.put_requestor(ACTOR, requestor(suspended=True), NOW_S)
    return []


@pytest.mark.parametrize(
    ("first", "repeat", "answers"),
    [
        pytest.param(
            issues(intent("T2"), intent("T3", 2)),
            issues(intent("T3", 2), intent("T2")),
            ["=1", "=2"],
            id="issues",
        ),
        pytest.param(claims(claim("A1")), claims(claim("A1")), ["=0000"], id="a claim that was granted"),
        pytest.param(
            claims(claim("A1", atc=None)),
            claims(claim("A1", atc=None)),
            ["=5003"],
            id="a claim that named no issue",
        ),
        pytest.param(
            claims(claim("A1", atc=None)),
            claims(claim("A1", atc=None, digest=b"something else!!")),
            ["=5001"],
            id="a claim whose name is another's",
        ),
        pytest.param(adds(3, 4), adds(4, 3), ["taken", "taken"], id="new tokens"),
        pytest.param(adds(3), adds(3, 5), ["taken", "added"], id="new tokens, one of them repeated"),
        pytest.param(revokes_credential, revokes_credential, ["before"], id="a credential's end"),
        pytest.param(suspends, suspends, ["suspended"], id="a token's state"),
        pytest.param(revokes_issue, revokes_issue, ["revoked"], id="a revocation of a QR"),
        pytest.param(puts_requestor, puts_requestor, [], id="a requestor"),
        pytest.param(revokes_its_credential, revokes_its_credential, ["before"], id="the end of one's own"),
        pytest.param(suspends_requestor, suspends_requestor, ["True"], id="a requestor's suspension"),
        pytest.param(
            creates_authoriser, creates_authoriser, ["requestor_id: it is taken"], id="a new authoriser"
        ),
        pytest.param(initialises(), initialises(), [], id="the gateway's own keys"),
        pytest.param(activates(), activates(), [], id="a key's activation"),
        pytest.param(retires(), retires(), [], id="a key's retirement"),
        pytest.param(
            generates(),
            generates(),
            [f"there is a {HASH_KEY} already: a key is never replaced, make another version"],
            id="a new key",
        ),
    ],
)
async def test_a_repeat_waits_for_the_standby_that_has_not_confirmed_the_first(
    server: str, store: PostgresStore, first: Ask, repeat: Ask, answers: list[str]
) -> None:
    async with without_its_standby(server) as operator:
        asking = asyncio.ensure_future(first(store))
        assert await waits_for_standby(operator, asking)
        await end_waiting(operator)
        with pytest.raises(OutcomeUnknown):
            await asking
        asking = asyncio.ensure_future(repeat(store))
        assert await waits_for_standby(operator, asking), "answered, and a failover may lose it"
    assert await asking == answers
