"""SIGKILL under load, again and again on one database: no counter twice, no answer forgotten, nothing half made."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests import by_hand
from tests.process import Answer, Process, serving

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("fault"), pytest.mark.timeout(300)]

KILLS = 20
SENDERS = 12
LOAD_S_MAX = 0.7
KILLS_WHILE_SEEDING = 12
KILL_STEP_S = 0.004  # a seeding takes about 40 ms

Request = dict[str, str]


class Load(threading.Thread):
    """A wallet that sends until the gateway is gone: what was answered, and the one request that was not."""

    def __init__(self, process: Process) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.answered: list[tuple[Request, Answer]] = []
        self.unanswered: Request | None = None
        self.faults: list[Answer] = []

    def run(self) -> None:
        with contextlib.closing(self.process.connection()) as connection:
            while not self.faults:
                wishes = {"trace_no": by_hand.new_trace_no(), "time": by_hand.korean_now()}
                body = by_hand.body_of(self.process.wallet.signed(**wishes))
                try:
                    answer = self.process.post(body, connection=connection)
                except (OSError, http.client.HTTPException):
                    self.unanswered = wishes
                    return
                if answer.status == 200:
                    self.answered.append((wishes, answer))
                else:
                    self.faults.append(answer)


class Ledger:
    """What one database was asked over all its runs.

    `issued` has each trace number's payload and handle; `open` what the last run was asked, with the answer if it came.
    """

    def __init__(self, data: Path) -> None:
        self.data = data
        self.issued: dict[str, tuple[str, str]] = {}
        self.open: list[tuple[Request, Answer | None]] = []
        self.answered = self.unanswered = 0

    def run_and_kill(self, load_s: float) -> None:
        """Start; repeat what the last run was asked; then load, and SIGKILL in the middle of it."""
        with serving(self.data) as process:
            self.repeat_all(process)
            load = [Load(process) for _ in range(SENDERS)]
            for sender in load:
                sender.start()
            time.sleep(load_s)
            process.kill()
            for sender in load:
                sender.join(15)
                assert not sender.is_alive()
        assert [fault for sender in load for fault in sender.faults] == []
        self.open = [entry for sender in load for entry in sender.answered]
        self.answered += len(self.open)
        lost = [(sender.unanswered, None) for sender in load if sender.unanswered is not None]
        self.unanswered += len(lost)
        self.open += lost

    def repeat_all(self, process: Process) -> None:
        """Send all that is open once more, sealed anew: what was answered gets its answer, the rest gets one now."""

        def repeat(entries: list[tuple[Request, Answer | None]]) -> None:
            with contextlib.closing(process.connection(30)) as connection:
                for wishes, first in entries:
                    again = process.post(
                        by_hand.body_of(process.wallet.signed(**wishes)), connection=connection
                    )
                    assert again.status == 200, again
                    response = again.response
                    self.issued[wishes["trace_no"]] = response["CPMQR_DATA"], response["QR_DATA_MAPP_VAL"]
                    assert first is None or response == first.response

        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(repeat, [self.open[start::SENDERS] for start in range(SENDERS)]))


def test_killed_twenty_times_under_load_no_counter_is_used_twice_and_no_answer_is_lost(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path / "var")
    pauses = random.Random(2026)
    for _ in range(KILLS):
        ledger.run_and_kill(pauses.uniform(0.05, LOAD_S_MAX))
    with serving(ledger.data) as process:
        ledger.repeat_all(process)
        next_counter = by_hand.atc_of(process.ask().response["CPMQR_DATA"])
        assert process.terminate() == 0
        assert process.secrets_in_log() == set()
    assert ledger.answered > KILLS * SENDERS
    assert ledger.unanswered > KILLS
    # Each request is one issue, and each issue one counter, without a gap: what was committed but not answered was
    # found by its retry, and what was not committed had used none.
    counters = sorted(by_hand.atc_of(payload) for payload, _ in ledger.issued.values())
    assert len(counters) == ledger.answered + ledger.unanswered
    assert counters == list(range(1, len(counters) + 1))
    assert next_counter == len(counters) + 1
    assert len({handle for _, handle in ledger.issued.values()}) == len(counters)


def wait_for_first_touch(process: Process) -> None:
    """Return when the process has a file of its data folder open: from here on a kill interrupts the seeding."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):  # a file may be closed while we look
            opened = [str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir()]
            if any(file.startswith(f"{process.data}/") for file in opened):
                return
        time.sleep(0.001)
    raise AssertionError("nothing was opened")


def test_killed_at_any_moment_of_the_first_start_the_next_start_is_whole(tmp_path: Path) -> None:
    data = tmp_path / "var"
    stages = set()
    for number in range(KILLS_WHILE_SEEDING):
        process = Process(data)
        wait_for_first_touch(process)
        time.sleep(number * KILL_STEP_S)
        process.kill()
        stages.add(tuple(sorted((file.name, file.stat().st_size) for file in data.iterdir())))
    with serving(data) as process:
        known = process.wallet.known
        assert len(known["tokens"]) >= 5
        assert process.ask().code == "0000"
        for state, code in (
            ("suspended", "4002"),
            ("deleted", "4003"),
            ("expired", "4004"),
            ("exhausted", "4006"),
        ):
            assert process.ask(pan=process.wallet.pan(state)).code == code
        suspended = known["suspended_requestor"]
        answer = process.ask(
            {"Authorization": suspended["authorization"]}, REQUESTOR_ID=suspended["requestor_id"]
        )
        assert answer.code == "2003"
        assert process.terminate() == 0
    assert len(stages) > 3, stages  # the kills did fall into different stages
