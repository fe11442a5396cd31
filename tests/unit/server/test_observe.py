"""Logs and metrics: what they tell, in which shape, and what must never be in them."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from cpmqr.errors import KeyUnavailable
from cpmqr.server import logs
from cpmqr.server.metrics import Tally
from cpmqr.server.observe import Observer, masked
from cpmqr.service.issue import Reply

PAN = "5350206900000066"
ISSUED = Reply(200, b"{}", "0000", requestor_id="42000000066", trace_no="T1", token_id=255, atc=7)
Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Set logs up on a stderr of our own; give what was written, a JSON object for each line."""
    written = io.BytesIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(written, "utf-8", write_through=True))
    logs.configure("info")
    yield lambda: [json.loads(line) for line in written.getvalue().decode().splitlines()]
    structlog.reset_defaults()
    logs._issue_lines = None
    root.handlers[:] = handlers
    root.setLevel(level)


def test_an_issue_is_one_line_with_token_and_counter_and_no_pan(lines: Lines) -> None:
    Observer(log_issues=True).answered([(ISSUED, 0.0123, None)])
    (line,) = lines()
    assert line.pop("at")
    assert line == {
        "event": "issued",
        "level": "info",
        "requestor_id": "42000000066",
        "trace_no": "T1",
        "token_ref": "00000000000000ff",
        "atc": 7,
        "repeated": False,
        "ms": 12.3,
    }


def test_an_issue_is_not_logged_where_the_deployment_does_not_want_it(lines: Lines) -> None:
    Observer(log_issues=False).answered([(ISSUED, 0.01, None)])
    assert lines() == []


@pytest.mark.parametrize(
    ("code", "level"),
    [("1003", "info"), ("4001", "info"), ("9001", "error"), ("9002", "error"), ("9999", "error")],
)
def test_a_refusal_is_one_line_with_its_cause_and_a_fault_of_ours_an_error(
    lines: Lines, code: str, level: str
) -> None:
    Observer(log_issues=True).answered([(Reply(400, b"{}", code, cause="why", incident="ab12"), 0.01, None)])
    (line,) = lines()
    assert (line["event"], line["level"], line["code"], line["cause"], line["incident"]) == (
        "refused",
        level,
        code,
        "why",
        "ab12",
    )


def _stumble() -> None:
    raise ValueError(f"invalid literal: {PAN}")


def test_an_incident_shows_lines_of_code_and_the_kind_of_the_error_but_not_its_text(lines: Lines) -> None:
    try:
        _stumble()
    except ValueError as error:
        Observer(log_issues=True).incident("ab12cd34", error)
    (line,) = lines()
    assert line["incident"] == "ab12cd34"
    assert "_stumble" in str(line["exception"])
    assert str(line["exception"]).endswith("ValueError")
    assert PAN not in json.dumps(line)


def test_an_incident_of_our_own_errors_shows_their_text_which_holds_no_value(lines: Lines) -> None:
    Observer(log_issues=True).incident("ab12cd34", KeyUnavailable("wrapped under KEK 010203"))
    assert lines()[0]["exception"] == "KeyUnavailable: wrapped under KEK 010203"


def test_an_incident_before_a_person_shows_no_local_variables(
    monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(written, "utf-8", write_through=True))
    structlog.reset_defaults()
    logs.configure("info", for_people=True)
    try:
        secret_of_this_frame = PAN
        _stumble()
    except ValueError as error:
        Observer(log_issues=True).incident("ab12cd34", error)
        assert secret_of_this_frame not in written.getvalue().decode()
    assert "ab12cd34" in written.getvalue().decode()


def test_what_libraries_log_is_one_json_line_without_the_text_of_foreign_errors(lines: Lines) -> None:
    logger = logging.getLogger("uvicorn.error")
    logger.warning('a "quoted"\nline of %s', "two")
    try:
        _stumble()
    except ValueError:
        logger.exception("Exception in ASGI application\n")
    first, second = lines()
    assert first == {"event": 'a "quoted"\nline of two', "logger": "uvicorn.error", "level": "warning"}
    assert "_stumble" in str(second["exception"])
    assert PAN not in json.dumps(second)


@pytest.mark.parametrize(
    ("trace_no", "shown"),
    [
        ("NPAY202009XX123XXXX35", "NPAY202009XX123XXXX35"),
        ("123456789012", "123456789012"),
        ("1234567890123", "123456***0123"),
        (PAN, "535020******0066"),
        (f"A{PAN}B", "A535020******0066B"),
        (f"0000{PAN}", "000053**********0066"),
        (f"{PAN}{PAN}", "535020**********************0066"),
        ("5350 2069 0000 0066", "5350 2*********0066"),
        ("5350-2069-0000-0066", "5350-2*********0066"),
        ("거래-1", "거래-1"),
        ("20261123-090000", "202611*****0000"),
    ],
)
def test_digits_that_could_be_a_pan_are_masked_in_a_trace_number(trace_no: str, shown: str) -> None:
    assert masked(trace_no) == shown


@given(st.text(alphabet="0123456789 -Ax", max_size=14), st.text(alphabet="0123456789 -Ax", max_size=10))
def test_no_pan_survives_in_a_trace_number_whatever_stands_around_it(before: str, after: str) -> None:
    assert PAN not in masked(before + PAN + after)
    assert PAN[4:-4] not in masked(before + PAN + after)


def test_metrics_count_answers_by_code_repeats_and_counters_near_their_end() -> None:
    observer = Observer(log_issues=False)
    observer.answered([(ISSUED, 0.01, None)])
    observer.answered([(Reply(200, b"{}", "0000", atc=60_001, repeated=True), 0.01, None)])
    observer.answered([(Reply(404, b"{}", "4001"), 0.01, None)])
    observer.batch(3, 0.001, 0.002)
    text = observer.metrics.exposition().decode()
    for line in (
        'cpmqr_answers_total{code="0000"} 2.0',
        'cpmqr_answers_total{code="4001"} 1.0',
        'cpmqr_answers_total{code="9999"} 0.0',
        "cpmqr_repeats_total 1.0",
        "cpmqr_atc_near_end_total 1.0",
        "cpmqr_answer_seconds_count 3.0",
        "cpmqr_batch_size_sum 3.0",
    ):
        assert line in text.splitlines()


def test_two_observers_count_for_themselves() -> None:
    one, other = Observer(log_issues=False), Observer(log_issues=False)
    one.answered([(ISSUED, 0.01, None)])
    assert 'cpmqr_answers_total{code="0000"} 0.0' in other.metrics.exposition().decode()


@given(
    st.lists(
        st.sampled_from([-1e9, -300.0, -3, 0, 3, 3.5, 300, 301, 1e9]) | st.floats(-1e6, 1e6), max_size=40
    )
)
def test_a_tally_of_many_values_is_what_one_after_the_other_makes(values: list[float]) -> None:
    shown = []
    for at_once in (True, False):
        registry = CollectorRegistry()
        tally = Tally("seconds", "", buckets=(-300, -3, 3, 300), registry=registry)
        if at_once:
            tally.observe_all(values)
        else:
            for value in values:
                tally.observe(value)
        shown.append({(each.name, str(each.labels)): each.value for each in tally.collect()[0].samples})
    once, singly = shown
    assert once == pytest.approx(singly)
