"""PANs sealed anew under the current vault key, in small steps, while the gateway serves.

A step replaces a seal only if it is still the one that was read, so it can't undo anything, may be repeated, and
may run on several machines at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from cpmqr.errors import KeyUnavailable
from cpmqr.keys.vault import Vault
from cpmqr.model import Token
from cpmqr.store.base import TokenStore

STEP_TOKENS: Final = 200  # about a millisecond of cipher work, and a commit far below a request's patience
PAUSE_S: Final = 0.05
# Every gateway has read a new vault key by then (`access.REFRESH_S`), so none meets a seal that it can't open.
SETTLE_S: Final = 10


class Resealing(msgspec.Struct, frozen=True):
    """How far it has come.

    Attributes:
        seen, changed: tokens looked at and sealed anew. unreadable: ids of tokens whose seal does not open.
        after: where the next step begins; None when all have been seen.
    """

    seen: int = 0
    changed: int = 0
    unreadable: tuple[int, ...] = ()
    after: int | None = 0


UNREADABLE_MAX: Final = 100  # ids that a report names; the first ones tell what is wrong


async def reseal_step(
    store: TokenStore, vault: Vault, so_far: Resealing, limit: int = STEP_TOKENS
) -> Resealing:
    """Look at the next tokens and seal anew those that are under an older version."""
    if so_far.after is None:
        return so_far
    tokens = await store.list_tokens(after=so_far.after, limit=limit)
    changes, unreadable = [], []
    for token in tokens:
        if token.vault_key_ver == vault.sealing_version:
            continue
        try:
            changes.append(_resealed(vault, token))
        except KeyUnavailable:
            unreadable.append(token.token_id)
    changed = await store.reseal_tokens(changes) if changes else 0
    return Resealing(
        seen=so_far.seen + len(tokens),
        changed=so_far.changed + changed,
        unreadable=(*so_far.unreadable, *unreadable)[:UNREADABLE_MAX],
        after=tokens[-1].token_id if len(tokens) == limit else None,
    )


async def reseal_all(
    store: TokenStore,
    vault: Vault,
    now_s: int,
    *,
    pause_s: float = PAUSE_S,
    told: Callable[[Resealing], None] = lambda _: None,
) -> Resealing:
    """Seal everything anew, with a pause after each step so that requests go first; `told` hears of each step.

    A vault key that is younger than ten seconds is waited for.
    """
    await asyncio.sleep(max(0, vault.sealing_since_s + SETTLE_S - now_s))
    state = Resealing()
    while state.after is not None:
        state = await reseal_step(store, vault, state)
        told(state)
        if state.after is not None:
            await asyncio.sleep(pause_s)
    return state


def _resealed(vault: Vault, token: Token) -> tuple[int, str, bytes, str]:
    sealed, version = vault.seal(vault.open(token).reveal(), token.token_id)
    return token.token_id, token.vault_key_ver, sealed, version
