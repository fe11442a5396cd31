"""What a serving process sets for itself alone; so in a process of its own."""

from __future__ import annotations

import subprocess
import sys

CYCLES = """
import gc, weakref
from cpmqr import startup

class Node:
    pass

startup.spare_collector()
assert gc.get_freeze_count() > 0
first = Node()
first.itself = first
seen = weakref.ref(first)
del first
kept = []
for _ in range(2 * startup.YOUNG_OBJECTS):
    kept.append([kept])
assert seen() is None, "a cycle was never collected"
"""


def test_a_spared_collector_still_finds_what_goes_round_in_circles() -> None:
    subprocess.run([sys.executable, "-c", CYCLES], check=True, timeout=60)
