"""The wallet against our own gateway, over HTTP: both sides read the same contract, and neither knows the other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from cpmqr.client import AsyncWallet
from cpmqr.errors import OutcomeUnknown, Refused
from cpmqr.testing import TestGateway, gateway


@pytest.fixture(scope="module")
def live() -> Iterator[TestGateway]:
    with gateway() as running:
        yield running


@pytest.mark.parametrize("crypto_type", ["00", "01", "02", "11"])
@pytest.mark.parametrize("spelling", ["sample", "table"])
def test_every_scheme_and_spelling_gives_a_qr(live: TestGateway, crypto_type: str, spelling: str) -> None:
    with live.wallet(crypto_type=crypto_type, spelling=spelling) as wallet:
        qr = wallet.request_qr(pan=live.pan())
    assert qr.payload.applications[0].pan == live.pan()
    assert len(qr.mapping_value) == 40
    assert (qr.expires_at - qr.issued_at).total_seconds() == 180


def test_the_same_request_again_gives_the_same_qr_and_uses_no_counter(live: TestGateway) -> None:
    with live.wallet() as wallet:
        prepared = wallet.prepare(pan=live.pan())
        first, again = wallet.send(prepared), wallet.send(prepared)
        other = wallet.request_qr(pan=live.pan())
    assert (first.base64, first.mapping_value) == (again.base64, again.mapping_value)
    atcs = [qr.payload.applications[0].atc for qr in (first, again, other)]
    assert atcs[0] == atcs[1]
    assert atcs[2] == (atcs[0] or 0) + 1


@pytest.mark.parametrize(
    ("state", "rslt_cd"),
    [("suspended", "4002"), ("deleted", "4003"), ("expired", "4004"), ("exhausted", "4006")],
)
def test_a_token_that_gives_no_qr_is_refused_with_its_code(
    live: TestGateway, state: str, rslt_cd: str
) -> None:
    with live.wallet() as wallet, pytest.raises(Refused) as caught:
        wallet.request_qr(pan=live.pan(state))
    assert (caught.value.rslt_cd, caught.value.retryable) == (rslt_cd, False)


def test_a_used_trace_number_is_refused_for_another_request(live: TestGateway) -> None:
    with live.wallet() as wallet:
        wallet.request_qr(pan=live.pan(), trace_no="USED")
        with pytest.raises(Refused) as caught:
            wallet.request_qr(pan=live.pan(), trace_no="USED", app_dv="other")
    assert caught.value.rslt_cd == "5001"


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ("8001", Refused),
        ("9001", Refused),
        ("9002", Refused),
        ("9003", OutcomeUnknown),
        ("9999", OutcomeUnknown),
    ],
)
def test_a_passing_code_that_does_not_pass_ends_as_the_catalogue_says(
    live: TestGateway, wanted: str, error: type[Exception]
) -> None:
    attempts: list[str] = []
    options = {
        "headers": {"X-Sandbox-Result": wanted},
        "attempts_max": 2,
        "observe": lambda attempt: attempts.append(attempt.rslt_cd),
        "sleep": lambda seconds: None,
    }
    with live.wallet(**options) as wallet, pytest.raises(error) as caught:
        wallet.request_qr(pan=live.pan())
    refused = caught.value.__cause__ if error is OutcomeUnknown else caught.value
    assert isinstance(refused, Refused)
    assert (refused.rslt_cd, attempts) == (wanted, [wanted, wanted])


def test_a_hundred_async_wallets_at_once_get_a_hundred_counters(live: TestGateway) -> None:
    async def call() -> list[int | None]:
        async with AsyncWallet.from_sandbox(live.sandbox_file) as wallet:
            qrs = await asyncio.gather(*[wallet.request_qr(pan=live.pan()) for _ in range(100)])
        return [qr.payload.applications[0].atc for qr in qrs]

    assert len(set(asyncio.run(call()))) == 100
