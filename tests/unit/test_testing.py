"""The gateway for a wallet's own tests, where it meets pytest."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest
import structlog

from cpmqr import testing
from cpmqr.server import logs


@pytest.fixture
def unconfigured() -> Iterator[None]:
    structlog.reset_defaults()
    logs._issue_lines = None
    yield
    structlog.reset_defaults()
    logs._issue_lines = None


@pytest.mark.usefixtures("unconfigured")
def test_it_stays_silent_when_a_test_sets_the_logs_of_the_process_anew(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with testing.gateway() as gateway, gateway.wallet() as wallet:
        wallet.request_qr(pan=gateway.pan())
        structlog.reset_defaults()
        wallet.request_qr(pan=gateway.pan())
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("unconfigured")
def test_its_faults_are_logged_still_when_the_stream_of_the_test_that_started_it_is_closed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        with testing.gateway() as gateway, gateway.wallet() as wallet:
            wallet.request_qr(pan=gateway.pan())
    stream.close()
    structlog.get_logger().error("a fault")
    assert '"event":"a fault"' in capfd.readouterr().err
