"""What all tests share: how hypothesis works on a machine that is busy with other things."""

from __future__ import annotations

from hypothesis import settings

# No deadline: on a shared machine it measures the neighbours. Found examples are printed, not kept in the checkout.
settings.register_profile("cpmqr", deadline=None, max_examples=100, database=None, print_blob=True)
settings.load_profile("cpmqr")
