"""The EMV toolkit: microseconds a call for encoding, cryptograms and reading, pyemv beside them in the same run.

    python -m benchmarks.toolkit [--json FILE]

Each figure is the best of several rounds, taken in turn, in processor time: the neighbours' work is not counted, though
it still costs caches. Peers that no Python registry has are quoted with figures measured elsewhere, and their date.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import time
import timeit
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import machine
from cpmqr.crypto.blocks import aes_ecb, tdes_ecb
from cpmqr.emv import tlv
from cpmqr.emv.cpm import decode
from cpmqr.emv.cryptogram import AES_128, generate_arqc
from cpmqr.emv.explain import explain
from cpmqr.emv.findings import Level
from cpmqr.emv.profile import CardData, Profile
from cpmqr.emv.rules import validate
from cpmqr.emv.till import Till

ROUNDS = 15
ROUND_S = 0.04

# Of a prototype session on this kind of machine, 2026-11: warm, on the page's sample or the nearest that they express.
PEERS = [
    ("dongri/emv-qrcode (Go)", "encodes; has no 5F34, 9F27, 82", "2.2"),
    ("mvallim/emv-qrcode (Java, warm)", "encodes", "1.2 to 1.5"),
    ("mvallim/emv-qrcode (Java, warm)", "decodes, unchecked", "1.6 to 3"),
    ("pyemv", "a TDES cryptogram", "47 to 110"),
]

CARD = ("5350206900000066", "02", "2007", "601", "0000000000099")
ATC, UN, WHEN, DKI = 139, bytes.fromhex("66E03B45"), "20200611175121", "05"
CRYPTOGRAM = bytes.fromhex("9844477339EBD67D")
MASTER_KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")


def calls() -> dict[str, Callable[[], Any]]:
    """Give what is measured, by its name."""
    profile = Profile.load("bc-domestic").compile()
    card = CardData(*CARD)
    payload = profile.encode(card, ATC, UN, WHEN, DKI, CRYPTOGRAM)
    text = base64.b64encode(payload).decode()
    data = UN + bytes(2) + ATC.to_bytes(2, "big") + payload[63:83]
    tdes, aes = tdes_ecb(MASTER_KEY), aes_ecb(MASTER_KEY)
    till = Till(["D4100000014010"])
    parsed = decode(text)
    seconds = [
        f"20200611{hour:02}{minute:02}{second:02}"
        for hour in range(2)
        for minute in range(60)
        for second in range(60)
    ]
    numbers = itertools.count()
    return {
        "encode, compiled profile, cryptogram given": lambda: profile.encode(
            card, ATC, UN, WHEN, DKI, CRYPTOGRAM
        ),
        "encode, a new second each time": lambda: profile.encode(
            card, ATC, UN, seconds[next(numbers) % len(seconds)], DKI, CRYPTOGRAM
        ),
        "card data, checked": lambda: CardData(*CARD),
        "cryptogram, TDES": lambda: generate_arqc(tdes, CARD[0], CARD[1], ATC, data),
        "cryptogram, AES-128": lambda: generate_arqc(aes, CARD[0], CARD[1], ATC, data, AES_128),
        "issue: card data, cryptogram (TDES), payload": lambda: profile.issue(
            tdes, CardData(*CARD), ATC, UN, WHEN, DKI
        ),
        "decode (Base64, TLV, frame)": lambda: decode(text),
        "decode and check every rule": lambda: validate(decode(text)),
        "check every rule": lambda: validate(parsed),
        "till: choose, split": lambda: till.read(text),
        "explain": lambda: explain(text),
        **_pyemv_calls(data),
    }


def _pyemv_calls(data: bytes) -> dict[str, Callable[[], Any]]:
    try:
        import pyemv
    except ModuleNotFoundError:
        return {}

    def cryptogram() -> bytes:
        card_key = pyemv.kd.derive_icc_mk_a(MASTER_KEY, CARD[0], CARD[1])
        session_key = pyemv.kd.derive_common_sk(card_key, ATC.to_bytes(2, "big") + bytes(6))
        return bytes(pyemv.ac.generate_ac(session_key, data))

    assert cryptogram() == generate_arqc(tdes_ecb(MASTER_KEY), CARD[0], CARD[1], ATC, data)
    return {"pyemv: cryptogram, TDES": cryptogram}


def growth() -> list[tuple[int, int, float]]:
    """Give bytes, objects and microseconds of a checked decode for payloads of growing size."""
    told = []
    for count in (10, 20, 40, 80, 160):
        inner = tlv.template("63", *[tlv.primitive("9F36", b"\x00\x01")] * count)
        application = tlv.template(
            "61",
            tlv.primitive("4F", bytes.fromhex("D4100000014010")),
            tlv.primitive("5A", bytes.fromhex(CARD[0])),
            inner,
        )
        binary = tlv.build([tlv.primitive("85", b"CPV01"), application])
        assert not [finding for finding in validate(binary) if finding.level is Level.ERROR and count < 40]
        told.append((len(binary), count + 5, _best(lambda binary=binary: validate(decode(binary)), ROUNDS)))  # type: ignore[misc]
    return told


def _best(call: Callable[[], Any], rounds: int) -> float:
    timer = timeit.Timer(call, timer=time.process_time)
    number = max(1, int(ROUND_S / max(timer.timeit(3) / 3, 1e-7)))
    return min(timer.repeat(rounds, number)) / number * 1e6


def measure() -> dict[str, float]:
    """Time everything in turn, and give microseconds a call."""
    timers = {name: timeit.Timer(call, timer=time.process_time) for name, call in calls().items()}
    numbers = {
        name: max(1, int(ROUND_S / max(timer.timeit(10) / 10, 1e-7))) for name, timer in timers.items()
    }
    best = dict.fromkeys(timers, float("inf"))
    for _ in range(ROUNDS):
        for name, timer in timers.items():
            best[name] = min(best[name], timer.timeit(numbers[name]) / numbers[name] * 1e6)
    nothing = min(timeit.Timer(lambda: None, timer=time.process_time).repeat(ROUNDS, 100_000)) / 100_000 * 1e6
    return {name: round(figure - nothing, 3) for name, figure in best.items()}


def main() -> None:
    """Measure and print a table; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # pyemv's short TDES keys
    figures = measure()
    sizes = growth()
    width = max(map(len, figures))
    print(f"{'microseconds a call, best of ' + str(ROUNDS):<{width}}")
    for name, figure in figures.items():
        print(f"  {name:<{width}}  {figure:8.2f}")
    print("\nchecked decode by size")
    for size, objects, figure in sizes:
        print(f"  {size:5} bytes, {objects:4} objects  {figure:8.2f}  {figure / objects:6.3f} an object")
    print("\npeers, measured elsewhere (November 2026)")
    for peer, what, figure_text in PEERS:
        print(f"  {peer:<34} {what:<34} {figure_text}")
    if arguments.json:
        report = {
            "machine": machine.description(),
            "unit": "microseconds a call",
            "figures": figures,
            "growth": [
                {"bytes": size, "objects": objects, "microseconds": round(figure, 2)}
                for size, objects, figure in sizes
            ],
            "peers": [{"peer": peer, "what": what, "microseconds": told} for peer, what, told in PEERS],
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
