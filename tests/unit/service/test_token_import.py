from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.service.site import ACTOR, NOW, WALLET, Site, on_a_site

from cpmqr.errors import ConfigError
from cpmqr.service import token_import
from cpmqr.service.token_import import ImportReport, Made, import_tokens

PAN = "5350206900000066"


def imported(folder: Path, lines: Sequence[str], *, keeps: list[Made] | None = None) -> ImportReport:
    async def run(site: Site) -> ImportReport:
        keep = None if keeps is None else keeps.append
        return await import_tokens(
            await site.tokens(), ACTOR, lines, NOW, requestor_id=WALLET, keep_made=keep
        )

    return on_a_site(folder, run)


def test_each_good_line_becomes_a_token_and_each_bad_one_is_reported(tmp_path: Path) -> None:
    report = imported(
        tmp_path,
        [
            "pan,expiry,psn,funding_ref,requestor_id\r\n",
            f"{PAN},3012,02,acct-1,\r\n",
            "5350206900000067,3012,,,\r\n",
            "\r\n",
            f"{PAN},3012,,,\r\n",
            "5350200000000027,2001,,,\n",
            ",3012,,,\n",
            "5350200000000004,3012\n",
            '5350200000000004,"3012,,,\n',
            "5350200000000035,3012,,,42000000067\n",
            f"5350200000000004,3012,,{'x' * 1000},\n",
            "5350200000000043,3012,,\udcff,\n",
            " 5350200000000019 , 3012 , , , \n",
        ],
    )
    assert report.stored == 2
    assert report.made == 0
    assert {line.line: line.reason for line in report.refused} == {
        3: "pan: the PAN's check digit is wrong (Luhn)",
        5: "pan: there is a token with this PAN already",
        6: "expiry: this month or later",
        7: "pan: none was given",
        8: "2 columns in place of 5",
        9: "quotes do not match, or more than 1000 characters",
        10: "requestor_id: there is no such requestor",
        11: "quotes do not match, or more than 1000 characters",
        12: "funding_ref: at most 64 printable characters",
    }


def test_made_pans_are_handed_over_with_their_lines(tmp_path: Path) -> None:
    keeps: list[Made] = []
    report = imported(tmp_path, ["expiry", "3012", "3101", "0000"], keeps=keeps)
    (made,) = keeps
    assert (report.stored, report.made, len(report.refused)) == (2, 2, 1)
    assert [(line, new.token.expiry) for line, new in made] == [(2, "3012"), (3, "3101")]
    assert made[0][1].pan.reveal().startswith("535020")
    assert made[0][1].pan.reveal() not in repr(made) + repr(report)


def test_no_reason_repeats_a_value(tmp_path: Path) -> None:
    report = imported(
        tmp_path, ["pan,expiry,psn", "5350206900000067,3012,02", f"{PAN},3099,02", f"{PAN},3012,SECRET"]
    )
    assert len(report.refused) == 3
    for line in report.refused:
        for value in ("5350206900000067", PAN, "3099", "SECRET"):
            assert value not in line.reason


def test_importing_a_file_again_stores_nothing_and_refuses_each_line(tmp_path: Path) -> None:
    lines = ["pan,expiry", f"{PAN},3012"]
    assert imported(tmp_path, lines).stored == 1
    again = imported(tmp_path, lines)
    assert (again.stored, len(again.refused)) == (0, 1)


def test_many_lines_are_stored_in_several_batches(tmp_path: Path) -> None:
    keeps: list[Made] = []
    report = imported(tmp_path, ["expiry", *["3012"] * 1_100], keeps=keeps)
    assert report.stored == 1_100
    assert [len(made) for made in keeps] == [500, 500, 100]


@pytest.mark.parametrize(
    "head", ["", "pan", "pan,expiry,pan", "expiry,cvv", '"expiry', "3012", "expiry," + "x" * 1000]
)
def test_a_first_line_that_names_no_columns_is_refused(tmp_path: Path, head: str) -> None:
    for lines in ([head, "3012"], [head], []):
        with pytest.raises(ConfigError, match="first line"):
            imported(tmp_path, lines)


def test_a_byte_order_mark_and_capitals_in_the_first_line_do_no_harm(tmp_path: Path) -> None:
    assert imported(tmp_path, ["\ufeffPAN, Expiry", f"{PAN},3012"]).stored == 1


def test_a_file_with_too_many_lines_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_import, "LINES_MAX", 3)
    assert len(imported(tmp_path, ["expiry", "a", "b", "c"]).refused) == 3
    with pytest.raises(ConfigError, match="more than 3 lines"):
        imported(tmp_path, ["expiry", "a", "b", "c", "d"])


@given(lines=st.lists(st.text(max_size=60), max_size=20))
def test_no_text_makes_an_import_fail_in_another_way(lines: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        report = imported(Path(folder), ["expiry,pan", *lines])
    assert report.stored == 0
    assert len(report.refused) <= len(lines)
