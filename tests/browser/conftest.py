"""A real Chromium, a real gateway, and a camera that sees what we draw for it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from cpmqr.testing import TestGateway, gateway

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
WAIT_MS: Final = 15_000  # a shared machine may be slow; nothing waits that long when all is well
FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",  # as root in a container there is no other way
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def chromium() -> str:
    path = os.environ.get("CPMQR_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium: run `make browser` as root, or set CPMQR_CHROMIUM to one")
    return path


@pytest.fixture(
    scope="module"
)  # it runs an event loop in this thread, which tests of other folders need free
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def camera_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the camera's film lies; it is read when a page asks for the camera."""
    return tmp_path_factory.mktemp("camera") / "film.y4m"


@pytest.fixture(scope="module")
def browser(playwright: Playwright, chromium: str, camera_file: Path) -> Iterator[Browser]:
    launched = playwright.chromium.launch(
        executable_path=chromium,
        args=[
            *FLAGS,
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={camera_file}",
        ],
    )
    yield launched
    launched.close()


@pytest.fixture(scope="session")
def sandbox() -> Iterator[TestGateway]:
    with gateway() as running:
        yield running


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, sandbox: TestGateway) -> Iterator[OpenPage]:
    """Open the console as a visitor would; whatever a page complains of on the way fails the test."""
    with contextlib.ExitStack() as stack:
        complaints: list[str] = []

        def opened(at: TestGateway | None = None, **options: Any) -> Page:
            context = browser.new_context(
                **{"viewport": {"width": 1360, "height": 900}, "locale": "en-US", **options}
            )
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(WAIT_MS)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda message: _note(complaints, message.type, message.text))
            page.goto((at or sandbox).base_url)
            page.wait_for_selector(".qr")
            return page

        yield opened
        assert complaints == []


def _note(complaints: list[str], kind: str, text: str) -> None:
    # A refusal is no success, and Chromium says so of each; that is what half of these tests want.
    if kind == "error" and "the server responded with a status of" not in text:
        complaints.append(text)
