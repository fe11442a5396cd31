"""Where the issue path's time goes, step by step, in one process: microseconds a request, the best of several rounds.

    python -m benchmarks.steps [--json FILE]

The steps are the gateway's own methods, called one after another on real requests; the store's share is a whole
batch's transaction divided by its size. The server's own share is what `benchmarks.issue` calls null.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.requests import prepare, profile_files, wallet_requests
from cpmqr import sandbox
from cpmqr.model import Role
from cpmqr.server import logs, wiring
from cpmqr.server.settings import Issuing, Settings, Storage
from cpmqr.service.issue import Call, Prepared
from cpmqr.store.base import Issued
from cpmqr.wire import contract, envelope, sealed

CALLS = 4_096
BATCH = 32
ROUNDS = 7


async def measure(folder: Path, profile: str) -> dict[str, float]:
    """Time each step over the same calls."""
    file, pans = await asyncio.to_thread(prepare, folder, 2_000, profile)
    issuing = Issuing(profile_files=profile_files(folder, profile))
    settings = Settings(sandbox=True, storage=Storage(data=str(folder)), issuing=issuing)
    store = wiring.open_store(settings)
    gateway = wiring.Gateway(settings, store, sandbox.kek(folder))
    await gateway.access.refresh()
    issuer, access = gateway.issuer, gateway.access
    now_s = int(time.time())
    bodies = [
        request.partition(b"\r\n\r\n")[2] for request in wallet_requests(file, pans, CALLS * (ROUNDS + 1))
    ]
    calls = [
        Call(body, file.authorization, "application/json; charset=utf-8", now_s) for body in bodies[:CALLS]
    ]
    authorization = file.authorization
    principal = access.authenticate(authorization, "", Role.REQUESTOR)
    envelopes = [envelope.read_request(call.body) for call in calls]
    messages = [contract.read_message(sent) for sent in envelopes]
    opened = [issuer.open_enc_data(principal, message) for message in messages]
    lines_of = sealed.request_lines
    lines = lines_of(messages[0].members)
    steps = {
        "1 credential": _each(calls, lambda _: access.authenticate(authorization, "", Role.REQUESTOR)),
        "2 envelope": _each(calls, lambda call: envelope.read_request(call.body)),
        "3 members": _each(envelopes, contract.read_message),
        "4-5 requestor, key": _each(messages, lambda message: issuer.check_crypto(principal, message)),
        "6 HASH_CRC": _each(
            messages, lambda message: issuer.check_hash(principal, message, lines_of(message.members))
        ),
        "7 ENC_DATA": _each(messages, lambda message: issuer.open_enc_data(principal, message)),
        "7 index, digest, entropy": _each(
            list(zip(calls, messages, opened, strict=True)),
            lambda one: issuer.make_intent(one[0], principal, one[1], lines, one[2]),
        ),
    }
    steps["8 store, batches of 32"], prepared, outcomes = await _store(gateway, bodies, authorization, now_s)
    pairs = list(zip(prepared, outcomes, strict=True))
    snapshot = access.current
    steps["9 cryptogram, payload"] = _each(pairs, lambda pair: issuer.payload(snapshot, pair[0].pan, pair[1]))
    whole = _each(pairs, lambda pair: issuer.finish(*pair))
    steps["10 answer"] = whole - steps["9 cryptogram, payload"]
    replies = [issuer.finish(*pair) for pair in pairs]
    answered = [[(reply, 0.001, 0) for reply in replies[at : at + BATCH]] for at in range(0, CALLS, BATCH)]
    steps["log line, metrics, by 32"] = _each(answered, gateway.observer.answered) / BATCH
    await store.close()
    return {name: round(value, 2) for name, value in steps.items()}


async def _store(
    gateway: wiring.Gateway, bodies: Sequence[bytes], authorization: str, now_s: int
) -> tuple[float, list[Prepared], list[Issued]]:
    best = float("inf")
    for number in range(1, ROUNDS + 1):
        calls = [
            Call(body, authorization, "application/json", now_s)
            for body in bodies[CALLS * number : CALLS * (number + 1)]
        ]
        prepared = [gateway.issuer.prepare(call) for call in calls]
        outcomes: list[Any] = []
        started = time.perf_counter()
        for at in range(0, CALLS, BATCH):
            intents = [one.intent for one in prepared[at : at + BATCH]]
            outcomes += await gateway.store.issue(intents, gateway.access.current.issuer.current)
        best = min(best, time.perf_counter() - started)
    return 1e6 * best / CALLS, prepared, outcomes


def _each(items: Sequence[Any], step: Callable[[Any], object]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for item in items:
            step(item)
        best = min(best, time.perf_counter() - started)
    return 1e6 * best / len(items)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--profile", default="bc-domestic")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)  # the log lines are written, and thrown away
    logs.configure("info")
    with tempfile.TemporaryDirectory(prefix="cpmqr-bench-") as folder:
        steps = asyncio.run(measure(Path(folder), given.profile))
    text = json.dumps({"machine": machine.description(), "microseconds": steps}, indent=1)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
