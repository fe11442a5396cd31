"""Tokens: made, suspended, resumed, deleted, listed.

A token's PAN is given, or made in a BIN range of the deployment's. It is stored sealed and found by its blind index,
so no PAN is ever provisioned twice. Who may ask is settled before (`access.py`).

States: active ⇄ suspended → deleted, and active → deleted. A step that has been taken already is no error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from cpmqr.errors import ConfigError, Refusal
from cpmqr.keys.vault import Vault
from cpmqr.model import (
    ATC_MAX,
    PAN_DIGITS_MAX,
    PAN_DIGITS_MIN,
    Token,
    TokenPan,
    TokenState,
    luhn_ok,
    mask_pan,
)
from cpmqr.store.base import Actor, TokenStore
from cpmqr.wire import codes

Entropy = Callable[[int], bytes]

PAGE_MAX: Final = 1_000
BATCH_MAX: Final = (
    500  # tokens in one transaction: enough to make the commit cheap, too few to hold up the gateway
)
FUNDING_REF_CHARACTERS_MAX: Final = 64
TRACK2_CHARACTERS_MAX: Final = (
    37  # ISO/IEC 7813 without sentinels; with its pad it fills the 19 bytes of tag 57
)
BIN_DIGITS_MIN: Final = 6
FREE_DIGITS_MIN: Final = 4  # a range of fewer than 10,000 PANs is a mistake
SERVICE_CODE_DEFAULT: Final = "601"  # as the page's sample has it
# Chance alone repeats a PAN in a well-filled range; after so many misses in a row it is as good as full.
MAKING_TRIES: Final = 32
_KOREA: Final = timedelta(hours=9)
_DIGITS: Final = "0123456789"
_TOKEN_REF: Final = re.compile("[0-9a-fA-F]{16}")


class BinRange(msgspec.Struct, frozen=True):
    """Where PANs may be made: all of `pan_digits` digits that begin with `prefix`.

    Raises:
        ConfigError: the prefix is no 6 digits or more, or leaves too few for PANs.
    """

    prefix: str
    pan_digits: int = 16

    def __post_init__(self) -> None:
        if not (self.prefix.isascii() and self.prefix.isdigit() and len(self.prefix) >= BIN_DIGITS_MIN):
            raise ConfigError(f"a BIN is {BIN_DIGITS_MIN} digits or more")
        if not PAN_DIGITS_MIN <= self.pan_digits <= PAN_DIGITS_MAX:
            raise ConfigError(f"a PAN is {PAN_DIGITS_MIN} to {PAN_DIGITS_MAX} digits")
        if self.pan_digits - len(self.prefix) - 1 < FREE_DIGITS_MIN:
            raise ConfigError(f"BIN {self.prefix} leaves too few digits in a PAN of {self.pan_digits}")


class TokenRules(msgspec.Struct, frozen=True):
    """What a deployment allows.

    Attributes:
        requestors: ids of the requestors that tokens may belong to.
        profiles: names of the scheme profiles; the first is a token's where an order names none.
        ranges: where PANs are made, the first by default; empty means that every PAN must be given.
    """

    requestors: Collection[str]
    profiles: Sequence[str]
    ranges: Sequence[BinRange] = ()


class TokenOrder(msgspec.Struct, frozen=True):
    """What is asked for.

    Attributes:
        expiry: yymm. pan: None to have one made, in the range that begins with `bin_prefix` ("" for the first).
        discretionary: None for zeros that fill track 2 up, as the page's sample nearly does.
        funding_ref: the issuer's own reference to what is charged; never a card number.
    """

    requestor_id: str
    expiry: str
    pan: TokenPan | None = None
    bin_prefix: str = ""
    psn: str = "00"
    service_code: str = SERVICE_CODE_DEFAULT
    discretionary: str | None = None
    profile: str = ""
    funding_ref: str = ""


class Provisioned(msgspec.Struct, frozen=True):
    """A new token with its PAN, which the wallet needs once; it prints masked."""

    token: Token
    pan: TokenPan


class TokenPage(msgspec.Struct, frozen=True):
    """A page of tokens; `after` continues it, None at the end."""

    tokens: tuple[Token, ...]
    after: int | None


class Tokens:
    """The life of tokens. Cheap to make: a gateway makes one for each call, with its current vault and rules."""

    def __init__(
        self, store: TokenStore, vault: Vault, rules: TokenRules, entropy: Entropy = os.urandom
    ) -> None:
        self._store = store
        self._vault = vault
        self._rules = rules
        self._entropy = entropy

    async def provision(self, actor: Actor, order: TokenOrder, now_s: int) -> Provisioned:
        """Make one token.

        Raises:
            Refusal: 1003 names the field and its rule; also when the PAN has a token already.
        """
        (outcome,) = await self.provision_many(actor, [order], now_s)
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    async def provision_many(
        self, actor: Actor, orders: Sequence[TokenOrder], now_s: int
    ) -> list[Provisioned | Refusal]:
        """Make up to 500 tokens; an outcome for each order, in their order. A refused one stops no other."""
        if len(orders) > BATCH_MAX:
            raise Refusal(codes.MEMBER_WRONG, f"at most {BATCH_MAX} tokens at once")
        outcomes: dict[int, Provisioned | Refusal] = {}
        waiting = list(enumerate(orders))
        for _ in range(MAKING_TRIES):
            drafts: list[tuple[int, Provisioned]] = []
            for place, order in waiting:
                try:
                    drafts.append((place, self._draft(order, now_s)))
                except Refusal as refusal:
                    outcomes[place] = refusal
            stored = (
                await self._store.add_tokens(actor, [draft.token for _, draft in drafts]) if drafts else []
            )
            waiting = []
            for (place, draft), is_new in zip(drafts, stored, strict=True):
                outcomes[place] = draft if is_new else _taken()
                if not is_new and orders[place].pan is None:
                    waiting.append((place, orders[place]))  # the PAN that was made is in use: make another
            if not waiting:
                break
        for place, _ in waiting:
            outcomes[place] = Refusal(codes.MEMBER_WRONG, "pan: the BIN range is as good as full")
        return [outcomes[place] for place in range(len(orders))]

    async def suspend(self, actor: Actor, token_id: int, now_s: int) -> Token:
        """Stop issuing and verifying until resumed; suspended already is no error.

        Raises:
            Refusal: 4001, or 4003 for a deleted one.
        """
        return await self._move(actor, token_id, TokenState.SUSPENDED, [TokenState.ACTIVE], now_s)

    async def resume(self, actor: Actor, token_id: int, now_s: int) -> Token:
        """Make a suspended token active again; active already is no error.

        Raises:
            Refusal: 4001, or 4003 for a deleted one.
        """
        return await self._move(actor, token_id, TokenState.ACTIVE, [TokenState.SUSPENDED], now_s)

    async def delete(self, actor: Actor, token_id: int, now_s: int) -> Token:
        """End a token for good; deleted already is no error. Its PAN is never given out again.

        Raises:
            Refusal: 4001.
        """
        return await self._move(
            actor, token_id, TokenState.DELETED, [TokenState.ACTIVE, TokenState.SUSPENDED], now_s
        )

    async def get(self, token_id: int) -> Token:
        """Find a token by its id.

        Raises:
            Refusal: 4001.
        """
        return _present(await self._store.token(token_id) if 0 <= token_id < 1 << 63 else None)

    async def by_pan(self, pan: TokenPan) -> Token:
        """Find a token by its PAN.

        Raises:
            Refusal: 4001.
        """
        return _present(await self._store.token_by_index(self._vault.index(pan.reveal())))

    async def page(
        self, *, requestor_id: str = "", state: TokenState | None = None, after: int = 0, limit: int = 100
    ) -> TokenPage:
        """List tokens in the order of their ids.

        Raises:
            Refusal: 1003, `limit` is not 1 to 1,000.
        """
        if not 1 <= limit <= PAGE_MAX:
            raise Refusal(codes.MEMBER_WRONG, f"limit: 1 to {PAGE_MAX}")
        tokens = await self._store.list_tokens(
            requestor_id=requestor_id, state=state or "", after=max(after, 0), limit=limit
        )
        return TokenPage(tuple(tokens), tokens[-1].token_id if len(tokens) == limit else None)

    async def _move(
        self, actor: Actor, token_id: int, state: TokenState, allowed_from: Sequence[TokenState], now_s: int
    ) -> Token:
        if not 0 <= token_id < 1 << 63:
            raise Refusal(codes.NO_TOKEN, "there is no such token")
        token = _present(await self._store.set_token_state(actor, token_id, state, allowed_from, now_s))
        if token.state is not state:
            raise Refusal(codes.TOKEN_DELETED, "a deleted token stays deleted")
        return token

    def _draft(self, order: TokenOrder, now_s: int) -> Provisioned:
        check_order(order, self._rules, now_s)
        pan = order.pan or self._make_pan(order.bin_prefix)
        token = draft_token(
            self._vault,
            order,
            pan,
            profile=order.profile or self._rules.profiles[0],
            token_id=new_token_id(self._entropy),
            now_s=now_s,
        )
        return Provisioned(token, pan)

    def _make_pan(self, bin_prefix: str) -> TokenPan:
        for candidate in self._rules.ranges:
            if candidate.prefix.startswith(bin_prefix):
                return make_pan(candidate, self._entropy)
        raise Refusal(
            codes.MEMBER_WRONG, "pan: none was given, and there is no such BIN range to make one in"
        )


def check_order(order: TokenOrder, rules: TokenRules, now_s: int) -> None:
    """Hold an order against the rules.

    Raises:
        Refusal: 1003 names the first field that is wrong.
    """
    pan_digits = len(order.pan.reveal()) if order.pan else PAN_DIGITS_MIN
    room = track2_room(pan_digits)
    checks = (
        (order.requestor_id in rules.requestors, "requestor_id: there is no such requestor"),
        (_is_month(order.expiry), "expiry: yymm"),
        (order.expiry >= korean_month(now_s), "expiry: this month or later"),
        (_is_number(order.psn, 2), "psn: 2 digits"),
        (_is_number(order.service_code, 3), "service_code: 3 digits"),
        (
            _is_discretionary(order.discretionary, room),
            f"discretionary: at most {room} digits beside this PAN",
        ),
        (
            bool(rules.profiles) and (not order.profile or order.profile in rules.profiles),
            "profile: there is no such profile",
        ),
        (
            _is_reference(order.funding_ref),
            f"funding_ref: at most {FUNDING_REF_CHARACTERS_MAX} printable characters",
        ),
        (
            not _is_card_number(order.funding_ref),
            "funding_ref: this is a card number; give an opaque reference",
        ),
    )
    for is_right, rule in checks:
        if not is_right:
            raise Refusal(codes.MEMBER_WRONG, rule)


def draft_token(
    vault: Vault, order: TokenOrder, pan: TokenPan, *, profile: str, token_id: int, now_s: int
) -> Token:
    """Give the record of a new token, its PAN sealed and indexed; stores nothing."""
    digits = pan.reveal()
    sealed, vault_key_ver = vault.seal(digits, token_id)
    discretionary = order.discretionary
    return Token(
        token_id=token_id,
        requestor_id=order.requestor_id,
        pan_index=vault.index(digits),
        pan_sealed=sealed,
        vault_key_ver=vault_key_ver,
        pan_masked=mask_pan(digits),
        psn=order.psn,
        expiry=order.expiry,
        service_code=order.service_code,
        discretionary="0" * track2_room(len(digits)) if discretionary is None else discretionary,
        profile=profile,
        state=TokenState.ACTIVE,
        atc=0,
        funding_ref=order.funding_ref,
        created_at_s=now_s,
    )


def new_token_id(entropy: Entropy) -> int:
    """Make an id of 63 random bits, above 0 so that a list may begin after 0."""
    return (int.from_bytes(entropy(8), "big") >> 1) or 1


def make_pan(bin_range: BinRange, entropy: Entropy) -> TokenPan:
    """Make a random PAN with its check digit."""
    free_digits = bin_range.pan_digits - len(bin_range.prefix) - 1
    number = int.from_bytes(entropy(16), "big") % 10**free_digits  # 128 bits leave no bias worth the name
    body = f"{bin_range.prefix}{number:0{free_digits}d}"
    return TokenPan(next(body + digit for digit in _DIGITS if luhn_ok(body + digit)))


def standing(token: Token, now_s: int) -> str:
    """Tell a token's state with what follows from expiry and counter: "expired" and "exhausted" too."""
    if token.state is not TokenState.ACTIVE:
        return token.state.value
    if token.expiry < korean_month(now_s):
        return "expired"
    return "exhausted" if token.atc >= ATC_MAX else "active"


def token_ref(token_id: int) -> str:
    """Write a token's id as 16 hex digits: as decimal it could be taken for a card number."""
    return f"{token_id:016x}"


def read_token_ref(text: str) -> int:
    """Read a token's id again.

    Raises:
        Refusal: 4001, it is not 16 hex digits.
    """
    if not _TOKEN_REF.fullmatch(text):
        raise Refusal(codes.NO_TOKEN, "a token's id is 16 hex digits")
    return int(text, 16)


def korean_month(now_s: int) -> str:
    """Give yymm in Korea, where a token ends with its month."""
    return (datetime.fromtimestamp(now_s, UTC) + _KOREA).strftime("%y%m")


def track2_room(pan_digits: int) -> int:
    """Count the discretionary digits that fit track 2: PAN, separator, expiry (4) and service code (3) go before."""
    return TRACK2_CHARACTERS_MAX - pan_digits - 1 - 4 - 3


def _is_number(text: str, digits: int) -> bool:
    return len(text) == digits and text.isascii() and text.isdigit()


def _is_month(text: str) -> bool:
    return _is_number(text, 4) and "01" <= text[2:] <= "12"


def _is_discretionary(text: str | None, room: int) -> bool:
    return text is None or text == "" or (len(text) <= room and text.isascii() and text.isdigit())


def _is_reference(text: str) -> bool:
    return len(text) <= FUNDING_REF_CHARACTERS_MAX and text.isprintable()


def _is_card_number(text: str) -> bool:
    """Whether a reference is a card number in disguise; blanks and dashes hide none."""
    digits = text.replace(" ", "").replace("-", "")
    return (
        PAN_DIGITS_MIN <= len(digits) <= PAN_DIGITS_MAX
        and digits.isascii()
        and digits.isdigit()
        and luhn_ok(digits)
    )


def _present(token: Token | None) -> Token:
    if token is None:
        raise Refusal(codes.NO_TOKEN, "there is no such token")
    return token


def _taken() -> Refusal:
    return Refusal(codes.MEMBER_WRONG, "pan: there is a token with this PAN already")
