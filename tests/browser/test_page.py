"""The page as a page: languages, colours, keyboard, small screens, accessibility, and no other host."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.browser.conftest import OpenPage

from cpmqr.testing import TestGateway

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

VENDOR = Path(__file__).parent / "vendor"
AXE = VENDOR / "axe.min.js"


def test_the_page_speaks_the_browsers_language_and_the_switch_is_remembered(open_page: OpenPage) -> None:
    page = open_page(locale="ko-KR")
    expect(page.get_by_role("heading", name="지갑")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Wallet")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.reload()
    expect(page.get_by_role("heading", name="Wallet")).to_be_visible()


def test_both_languages_have_every_label(open_page: OpenPage) -> None:
    page = open_page()
    missing = page.evaluate(
        """async () => {
          const { LABELS } = await import("/console/assets/i18n.js");
          const [english, korean] = [Object.keys(LABELS.en), Object.keys(LABELS.ko)];
          return [...english.filter((key) => !korean.includes(key)), ...korean.filter((key) => !english.includes(key))];
        }"""
    )
    assert missing == []


def test_the_colours_follow_the_system_until_the_switch_says_otherwise(open_page: OpenPage) -> None:
    page = open_page(color_scheme="dark")
    paper = "() => getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    page.get_by_role("button", name="Light").click()
    light = page.evaluate(paper)
    assert dark != light
    page.reload()
    assert page.evaluate(paper) == light


def test_the_tab_key_leads_through_the_page_from_its_top(open_page: OpenPage) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the wallet")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Token", exact=True)).to_be_focused()


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_runs_over_the_edge_of_a_small_screen(open_page: OpenPage, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    fill(page)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width


def fill(page: Page) -> None:
    """Have something in every pane."""
    page.get_by_role("button", name="Hand it to the till").click()
    page.get_by_role("button", name="Authorise", exact=True).click()
    page.wait_for_selector(".attempt")
    page.locator("[data-code='3004'] button").click()
    page.locator("tr.request", has_text="3004").first.get_by_role("button").click()
    page.wait_for_selector("tr.detail .step")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1360])
def test_axe_finds_nothing_serious(open_page: OpenPage, scheme: str, width: int) -> None:
    page = open_page(color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce")
    fill(page)
    page.evaluate(AXE.read_text())
    found: dict[str, Any] = page.evaluate("axe.run()")
    assert found["passes"], "axe did not look at anything"
    told = [
        f"{violation['impact']}: {violation['help']}: {[node['html'][:120] for node in violation['nodes'][:3]]}"
        for violation in found["violations"]
    ]
    assert told == []


def test_axe_is_the_one_that_its_readme_names() -> None:
    digest = hashlib.sha256(AXE.read_bytes()).hexdigest()
    assert f"{digest}  axe.min.js" in (VENDOR / "README.md").read_text()


def test_no_other_host_is_asked_for_anything(open_page: OpenPage, sandbox: TestGateway) -> None:
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.wait_for_selector(".qr")
    picture = {"name": "qr.png", "mimeType": "image/png", "buffer": page.locator(".qr").screenshot()}
    page.locator("#picture-file").set_input_files(picture)  # loads the reader and its WebAssembly
    page.wait_for_selector(".byte")
    fetched = [url for url in asked if url.endswith(".wasm")]
    assert fetched == [f"{sandbox.base_url}/console/assets/vendor/zxing-wasm/zxing_reader.wasm"]
    hosts = {urlsplit(url).netloc for url in asked if not url.startswith(("blob:", "data:"))}
    assert hosts == {urlsplit(sandbox.base_url).netloc}


def test_an_inline_script_does_not_run(browser: Browser, sandbox: TestGateway) -> None:
    page = browser.new_page()
    page.goto(sandbox.base_url)
    ran = page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.body.append(script);
          return Boolean(window.ran);
        }"""
    )
    page.close()
    assert ran is False
