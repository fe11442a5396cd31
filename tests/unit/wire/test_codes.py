"""The catalogue against the contract's own table, kept as data in tests/vectors/codes.md."""

from __future__ import annotations

import re
from pathlib import Path

from cpmqr.wire.codes import CODES, Retry

TABLE = Path(__file__).parents[2] / "vectors" / "codes.md"


def rows() -> list[list[str]]:
    lines = [line for line in TABLE.read_text("utf-8").splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in lines[2:]]


def test_the_catalogue_holds_the_contracts_rows_in_their_order() -> None:
    assert list(CODES) == [row[0] for row in rows()]


def test_each_row_has_the_contracts_text_status_and_advice() -> None:
    for rslt_cd, rslt_msg, _, status, retry in rows():
        code = CODES[rslt_cd]
        assert (code.rslt_cd, code.rslt_msg, code.http_status, code.retry.value) == (
            rslt_cd,
            rslt_msg,
            int(status),
            retry,
        )


def test_each_rows_meaning_begins_as_the_contracts_does() -> None:
    for rslt_cd, _, meaning, _, _ in rows():
        plain = meaning.replace("`", "").replace("\\|", "|")
        assert plain.startswith(CODES[rslt_cd].meaning), rslt_cd


def test_what_speaks_of_keys_and_database_says_nothing_more_outside_the_sandbox() -> None:
    by_the_contract, ours = {"3003", "9999"}, {"9001", "9002"}
    assert {code.rslt_cd for code in CODES.values() if code.terse} == by_the_contract | ours


def test_the_same_request_may_be_sent_again_only_where_nothing_or_the_unknown_happened() -> None:
    assert {code.rslt_cd for code in CODES.values() if code.retryable} == {
        "8001",
        "9001",
        "9002",
        "9003",
        "9999",
    }
    assert {code.rslt_cd for code in CODES.values() if code.retry is Retry.AFTER} == {"8001", "9001", "9002"}
