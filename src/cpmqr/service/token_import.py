"""Many tokens at once, from a CSV: what can be made is made, and each refused line is reported with its reason.

The first line names the columns, in any order: `expiry`, and where wanted `pan`, `requestor_id`, `psn`,
`service_code`, `discretionary`, `profile`, `funding_ref`. A report never repeats a value.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from cpmqr.errors import ConfigError, Refusal
from cpmqr.model import TokenPan
from cpmqr.service.tokens import BATCH_MAX, Provisioned, TokenOrder, Tokens
from cpmqr.store.base import Actor

LINES_MAX: Final = (
    100_000  # bounds the report, and a slip of the operator's; a bigger stock comes as several files
)
LINE_CHARACTERS_MAX: Final = 1_000  # all columns at their longest are below 300
_COLUMNS: Final = frozenset(
    ("pan", "expiry", "requestor_id", "psn", "service_code", "discretionary", "profile", "funding_ref")
)


class RefusedLine(msgspec.Struct, frozen=True):
    """A line that made no token: its number in the file (the first is 1), and why."""

    line: int
    reason: str


class ImportReport(msgspec.Struct, frozen=True):
    """What an import did: tokens stored, how many of them with a PAN that was made here, lines refused."""

    stored: int
    made: int
    refused: tuple[RefusedLine, ...]


Made = Sequence[tuple[int, Provisioned]]
"""Lines without a PAN, with the tokens that they got."""


async def import_tokens(
    tokens: Tokens,
    actor: Actor,
    lines: Iterable[str],
    now_s: int,
    *,
    requestor_id: str = "",
    keep_made: Callable[[Made], None] | None = None,
) -> ImportReport:
    """Make a token of each line; stored in batches, each whole or not at all.

    Args:
        lines: text lines, the first with the columns' names.
        requestor_id: for lines that name none.
        keep_made: is given the PANs that are made, after each batch that is stored: nobody else knows them. Without
            it a line that has no PAN is refused.

    Raises:
        ConfigError: the first line is wrong, or there are more than 100,000 lines. Batches before stay stored, and
            a second import of the same file refuses those lines as taken.
    """
    stored, made_count, refused = 0, 0, []
    for batch in _batches(_orders(lines, requestor_id, keep_made is not None)):
        orders = [(line, order) for line, order in batch if isinstance(order, TokenOrder)]
        refused += [RefusedLine(line, reason) for line, reason in batch if isinstance(reason, str)]
        outcomes = await tokens.provision_many(actor, [order for _, order in orders], now_s)
        made: list[tuple[int, Provisioned]] = []
        for (line, order), outcome in zip(orders, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                refused.append(RefusedLine(line, outcome.cause))
                continue
            stored += 1
            if order.pan is None:
                made.append((line, outcome))
        if made and keep_made is not None:
            keep_made(made)
            made_count += len(made)
    return ImportReport(stored, made_count, tuple(sorted(refused, key=lambda entry: entry.line)))


def _orders(
    lines: Iterable[str], requestor_id: str, may_make_pans: bool
) -> Iterator[tuple[int, TokenOrder | str]]:
    """Give each line's number with its order, or with the reason why it has none."""
    rows = _rows(lines)
    columns = _read_columns(next(rows, (1, None))[1])
    for number, row in rows:
        if row is None:
            yield number, f"quotes do not match, or more than {LINE_CHARACTERS_MAX} characters"
        elif row and len(row) != len(columns):
            yield number, f"{len(row)} columns in place of {len(columns)}"
        elif row:
            yield number, _order(dict(zip(columns, row, strict=True)), requestor_id, may_make_pans)


def _order(fields: dict[str, str], requestor_id: str, may_make_pans: bool) -> TokenOrder | str:
    try:
        pan = TokenPan(fields["pan"]) if fields.get("pan") else None
    except ValueError as error:
        return f"pan: {error}"
    if pan is None and not may_make_pans:
        return "pan: none was given"
    given = {name: value for name, value in fields.items() if value and name not in ("pan", "requestor_id")}
    return msgspec.structs.replace(
        TokenOrder(requestor_id=fields.get("requestor_id") or requestor_id, expiry="", pan=pan), **given
    )


def _read_columns(row: list[str] | None) -> list[str]:
    columns = [name.lstrip("\ufeff").lower() for name in row or ()]
    if "expiry" not in columns or len(set(columns)) != len(columns) or not _COLUMNS.issuperset(columns):
        raise ConfigError(
            f"the first line must name the columns, each once: expiry, and any of {', '.join(sorted(_COLUMNS))}"
        )
    return columns


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, list[str] | None]]:
    """Split each line by itself, so that a quote left open swallows nothing; None for a line that does not split."""
    for number, line in enumerate(lines, start=1):
        if number > LINES_MAX + 1:
            raise ConfigError(f"more than {LINES_MAX} lines: split the file")
        try:
            row = next(csv.reader([line], strict=True), []) if len(line) <= LINE_CHARACTERS_MAX else None
        except csv.Error:
            row = None
        yield number, None if row is None else [value.strip() for value in row]


def _batches(items: Iterator[tuple[int, TokenOrder | str]]) -> Iterator[list[tuple[int, TokenOrder | str]]]:
    batch: list[tuple[int, TokenOrder | str]] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH_MAX:
            yield batch
            batch = []
    if batch:
        yield batch
