"""What the package promises of its public calls: any input gives a value or an error of ours (contract §11)."""

from __future__ import annotations

from typing import Any

import pytest

import cpmqr

ODD = [None, 5, "", b"", "x", "\ud800", [], {}, object(), b"\xff" * 5_000, "hQVDUFYwMQ=="]
CALLS = {
    "decode": cpmqr.decode,
    "encode": cpmqr.encode,
    "validate": cpmqr.validate,
    "explain": cpmqr.explain,
    "Profile.load": cpmqr.Profile.load,
    "Till": cpmqr.Till,
    "Till.read": cpmqr.Till(["A000000333"]).read,
    "Wallet.from_sandbox": cpmqr.Wallet.from_sandbox,
    "Wallet.from_config": cpmqr.Wallet.from_config,
    "Authoriser.from_sandbox": cpmqr.Authoriser.from_sandbox,
}


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:16])
@pytest.mark.parametrize("name", CALLS)
def test_any_input_gives_a_value_or_an_error_of_ours(name: str, odd: Any) -> None:
    call: Any = CALLS[name]
    try:
        call(odd)
    except cpmqr.CpmqrError as error:
        assert str(error)  # noqa: PT017  (a value is as good)


def test_errors_of_decoding_and_encoding_are_value_errors_too() -> None:
    assert issubclass(cpmqr.DecodeError, ValueError)
    assert issubclass(cpmqr.EncodeError, ValueError)


def test_every_name_that_is_offered_is_there() -> None:
    assert [name for name in cpmqr.__all__ if not hasattr(cpmqr, name)] == []
