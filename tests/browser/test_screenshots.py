"""Pictures of the console as it is: artefacts of each test run, and, by `make screenshots`, those of the docs.

They are taken from real exchanges, so nothing in them is drawn by hand; each is also looked at for what it must show.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from tests.browser.conftest import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

COLOURS = 256  # a palette keeps a picture of a page at a third of its size; nobody sees the difference


def keep(page: Page, name: str) -> None:
    """Write a picture of what is on the screen, to CPMQR_SCREENSHOTS or to build/console."""
    folder = Path(os.environ.get("CPMQR_SCREENSHOTS", "build/console"))
    folder.mkdir(parents=True, exist_ok=True)
    page.mouse.move(0, 0)
    picture = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    path = folder / f"{name}.png"
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    assert path.stat().st_size > 10_000, "an empty page is no screenshot"


def play(page: Page) -> None:
    page.locator("#hand-over").click()
    page.locator("#authorise").click()
    expect(page.locator(".attempt.good")).to_be_visible()
    expect(page.locator(".stamp")).to_be_visible()
    page.evaluate("scrollTo(0, 0)")


def test_wallet_and_till_in_light(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 1360, "height": 1240})
    play(page)
    page.locator(".line", has_text="Application Transaction Counter").evaluate("line => line.focus()")
    page.evaluate("scrollTo(0, 0)")
    keep(page, "wallet-and-till")


def test_wallet_and_till_in_dark_and_korean(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 1360, "height": 1240}, color_scheme="dark", locale="ko-KR")
    play(page)
    page.locator("#authorise").click()
    expect(page.locator(".attempt.bad")).to_be_visible()
    keep(page, "wallet-and-till-dark-ko")


def test_a_phone(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, device_scale_factor=2, locale="ko-KR")
    keep(page, "phone")


def test_the_inspector(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 1360, "height": 900})
    play(page)
    page.locator("[data-code='3004'] button").click()
    page.locator("tr.request", has_text="3004").first.get_by_role("button").click()
    expect(page.locator("tr.detail .step.stopped")).to_be_visible()
    page.locator(".table-frame").evaluate("frame => { frame.style.maxHeight = '720px'; }")
    page.locator("#inspector").evaluate("section => section.scrollIntoView({ behavior: 'instant' })")
    keep(page, "inspector")


def test_the_trigger_board(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 1360, "height": 1240})
    page.locator("#try-all").click()
    expect(page.locator("#try-all")).to_contain_text("answered as expected", timeout=60_000)
    page.locator("#codes").evaluate("section => section.scrollIntoView({ behavior: 'instant' })")
    keep(page, "codes")
