"""The main job on a real process: schemes, cryptograms, retries and counters under concurrency, and a second start."""

from __future__ import annotations

import json
import re
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests import by_hand
from tests.process import Answer, Process, serving


def at_once(count: int, send: Callable[[int], Answer]) -> list[Answer]:
    """Send so many requests from as many threads, let go together."""
    gate = threading.Barrier(count)

    def wait_and_send(number: int) -> Answer:
        gate.wait()
        return send(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(wait_and_send, range(count)))


@pytest.mark.parametrize("crypto_type", ["00", "01", "02", "11"])
def test_each_scheme_gives_a_payload_whose_cryptogram_is_right(served: Process, crypto_type: str) -> None:
    wallet = served.wallet
    response = served.ask(crypto_type=crypto_type).response
    assert (response["RSLT_CD"], response["CRYPTO_TYPE"]) == ("0000", crypto_type)
    assert wallet.believes(response)
    assert re.fullmatch("[0-9A-F]{40}", response["QR_DATA_MAPP_VAL"])
    token = wallet.known["tokens"][0]
    fields = by_hand.fields_of(response["CPMQR_DATA"])
    issuer = wallet.known["issuer_keys"]["bc-domestic"]
    covered = fields["9F37"] + fields["82"] + fields["9F36"] + fields["9F10"]
    made = by_hand.cryptogram(
        bytes.fromhex(issuer["master_key_hex"]), token["pan"], token["psn"], fields["9F36"], covered
    )
    assert fields["9F26"] == made
    assert fields["57"].hex().upper().startswith(f"{token['pan']}D{token['expiry']}{token['service_code']}")


def test_48_retries_at_once_give_one_qr_and_one_counter(served: Process) -> None:
    before = by_hand.atc_of(served.ask().response["CPMQR_DATA"])
    wishes = {"trace_no": by_hand.new_trace_no(), "time": by_hand.korean_now()}
    answers = at_once(48, lambda _: served.ask(**wishes))
    assert {answer.status for answer in answers} == {200}
    assert (
        len({(answer.response["CPMQR_DATA"], answer.response["QR_DATA_MAPP_VAL"]) for answer in answers}) == 1
    )
    assert by_hand.atc_of(answers[0].response["CPMQR_DATA"]) == before + 1
    assert by_hand.atc_of(served.ask().response["CPMQR_DATA"]) == before + 2


def test_200_issues_at_once_have_200_counters_without_a_gap(served: Process) -> None:
    before = by_hand.atc_of(served.ask().response["CPMQR_DATA"])
    answers = at_once(200, lambda _: served.ask())
    assert {answer.status for answer in answers} == {200}
    counters = sorted(by_hand.atc_of(answer.response["CPMQR_DATA"]) for answer in answers)
    assert counters == list(range(before + 1, before + 201))
    assert len({answer.response["QR_DATA_MAPP_VAL"] for answer in answers}) == 200


def test_48_different_requests_at_once_under_one_number_give_one_qr_and_47_times_5001(
    served: Process,
) -> None:
    trace_no, times = by_hand.new_trace_no(), [by_hand.korean_now(-number) for number in range(48)]
    answers = at_once(48, lambda number: served.ask(trace_no=trace_no, time=times[number]))
    assert sorted(answer.code for answer in answers) == ["0000"] + ["5001"] * 47


def test_a_retry_is_served_when_its_time_has_left_the_window_and_a_new_request_is_not(
    served: Process,
) -> None:
    wishes = {"trace_no": by_hand.new_trace_no(), "time": by_hand.korean_now()}
    first = served.ask(**wishes).response
    late = {"X-Sandbox-Now": by_hand.korean_now(86_000)}
    assert served.ask(late, **wishes).response == first
    assert served.ask(late, time=wishes["time"]).code == "3006"


def test_many_requests_go_over_one_connection(served: Process) -> None:
    connection = served.connection()
    codes = [
        served.post(by_hand.body_of(served.wallet.signed()), connection=connection).code for _ in range(20)
    ]
    codes.append(served.post(b"x", connection=connection).code)
    codes.append(served.post(by_hand.body_of(served.wallet.signed()), connection=connection).code)
    connection.close()
    assert codes == ["0000"] * 20 + ["1001", "0000"]


def test_health_readiness_and_metrics_are_told(served: Process) -> None:
    served.ask()
    assert served.get("/healthz") == (200, b'{"status":"ok"}')
    assert served.get("/readyz") == (200, b'{"status":"ready"}')
    status, text = served.get("/metrics")
    assert status == 200
    assert re.search(rb'cpmqr_answers_total\{code="0000"\} [1-9]', text)
    assert served.get("/no/such/path")[0] == 404


def test_the_data_folder_is_its_owners_alone_and_names_the_port_that_was_taken(served: Process) -> None:
    assert stat.S_IMODE(served.data.stat().st_mode) == 0o700
    for file in served.data.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    known = json.loads((served.data / "sandbox.json").read_text("utf-8"))
    assert known["base_url"] == f"http://127.0.0.1:{served.port}"


def test_nothing_that_is_secret_lies_in_the_database_in_clear(served: Process) -> None:
    response = served.ask().response
    stored = b"".join(file.read_bytes() for file in served.data.glob("cpmqr.sqlite*"))
    known = served.wallet.known
    texts = [token["pan"] for token in known["tokens"]] + [known["authorization"], response["CPMQR_DATA"]]
    keys = [bytes.fromhex(key["key_hex"]) for key in known["crypto_types"].values()]
    keys += [bytes.fromhex(key["master_key_hex"]) for key in known["issuer_keys"].values()]
    keys += [by_hand.fields_of(response["CPMQR_DATA"])["9F26"]]
    keys += [bytes.fromhex(pan) for pan in texts[:1]]  # as packed digits
    assert not [text for text in texts if text.encode() in stored]
    assert not [key.hex() for key in keys if key in stored or key.hex().encode() in stored]


@pytest.mark.slow
def test_a_second_start_keeps_all_that_the_first_made(tmp_path: Path) -> None:
    data = tmp_path / "var"
    wishes = {"trace_no": by_hand.new_trace_no(), "time": by_hand.korean_now()}
    with serving(data) as first:
        known = first.wallet.known
        answer = first.ask(**wishes).response
        assert first.terminate() == 0
    with serving(data) as second:
        assert {**second.wallet.known, "base_url": ""} == {**known, "base_url": ""}
        assert second.wallet.known["base_url"] == f"http://127.0.0.1:{second.port}"
        assert second.ask(**wishes).response == answer
        assert by_hand.atc_of(second.ask().response["CPMQR_DATA"]) == by_hand.atc_of(answer["CPMQR_DATA"]) + 1
        assert second.terminate() == 0
        assert second.secrets_in_log() == set()
