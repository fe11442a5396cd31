"""Random bytes drawn ahead."""

from __future__ import annotations

import itertools

from cpmqr.service.drawn_ahead import DRAWN_BYTES, DrawnAhead


def counted() -> tuple[list[int], DrawnAhead]:
    """Bytes that tell where they come from: a source that counts up, and notes how much it is asked for."""
    asked: list[int] = []
    numbers = itertools.count()

    def entropy(count: int) -> bytes:
        asked.append(count)
        return b"".join(next(numbers).to_bytes(4, "big") for _ in range(count // 4))

    return asked, DrawnAhead(entropy)


def test_no_byte_is_given_twice_and_the_source_is_asked_seldom() -> None:
    asked, drawn = counted()
    given = [drawn(4) for _ in range(3 * DRAWN_BYTES // 4)]
    assert len(set(given)) == len(given)
    assert asked == [DRAWN_BYTES] * 3


def test_a_rest_that_is_too_short_is_thrown_away() -> None:
    asked, drawn = counted()
    drawn(DRAWN_BYTES - 4)
    assert len(drawn(8)) == 8
    assert asked == [DRAWN_BYTES] * 2


def test_more_than_is_drawn_ahead_is_given_too() -> None:
    _, drawn = counted()
    assert len(drawn(4 * DRAWN_BYTES)) == 4 * DRAWN_BYTES
