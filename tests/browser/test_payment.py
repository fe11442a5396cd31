"""A whole payment in the page: the wallet's QR goes through the camera into the till, and is good once."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.browser.camera import film
from tests.browser.conftest import OpenPage

from cpmqr.testing import TestGateway, gateway

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def cpmqr_data(page: Page) -> str:
    """What the gateway answered, as the wallet's pane shows it."""
    page.get_by_role("tab", name="Answer").first.click()
    shown = page.locator("#wallet-wire .wire-text").inner_text()
    return re.search(r'"CPMQR_DATA": "([^"]+)"', shown)[1]  # type: ignore[index]


def test_a_qr_is_issued_scanned_by_camera_authorised_and_then_already_used(
    open_page: OpenPage, camera_file: Path
) -> None:
    page = open_page()
    issued = cpmqr_data(page)
    film(page.locator(".qr").screenshot(), camera_file)

    page.get_by_role("button", name="Scan with the camera").click()
    expect(page.locator("#paste")).to_have_value(issued)
    expect(page.locator("#viewfinder")).to_be_hidden()
    expect(page.locator("#till-notice")).to_have_text("A valid payload: 99 bytes, 132 characters in the QR.")

    page.get_by_role("button", name="Authorise", exact=True).click()
    first = page.locator(".attempt").first
    expect(first).to_contain_text("Approved")
    expect(first).to_contain_text("sandbox-active")
    expect(page.locator(".screen.used .stamp")).to_contain_text("Paid")

    page.get_by_role("button", name="Authorise", exact=True).click()
    second = page.locator(".attempt").first
    expect(second).to_contain_text("Attempt 2")
    expect(second).to_contain_text("5005")
    expect(second).to_contain_text("이미 사용된 QR")


def test_the_wallet_hands_its_qr_to_the_till(open_page: OpenPage) -> None:
    page = open_page()
    issued = cpmqr_data(page)
    page.get_by_role("button", name="Hand it to the till").click()
    expect(page.locator("#paste")).to_have_value(issued)
    expect(page.locator(".byte")).to_have_count(len(base64.b64decode(issued)))


def test_a_picture_of_a_qr_is_read(open_page: OpenPage) -> None:
    page = open_page()
    issued = cpmqr_data(page)
    picture = {"name": "qr.png", "mimeType": "image/png", "buffer": page.locator(".qr").screenshot()}
    page.locator("#picture-file").set_input_files(picture)
    expect(page.locator("#paste")).to_have_value(issued)


def test_a_picture_without_a_qr_is_said_to_have_none(open_page: OpenPage) -> None:
    page = open_page()
    picture = {"name": "page.png", "mimeType": "image/png", "buffer": page.locator(".brand").screenshot()}
    page.locator("#picture-file").set_input_files(picture)
    expect(page.locator("#till-notice")).to_have_text("No QR was found in this picture.")


def test_a_pasted_payload_that_breaks_a_rule_is_explained_and_refused(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#paste").fill("85054350563031 6105 4F07D41000")
    page.get_by_role("button", name="Read it").click()
    expect(page.locator(".findings .error").first).to_be_visible()
    page.get_by_role("button", name="Authorise", exact=True).click()
    expect(page.locator(".attempt").first).to_contain_text("Refused")


def test_the_qr_renews_itself_when_its_time_has_run_out(open_page: OpenPage) -> None:
    with gateway(issuing__qr_ttl_s=3) as short:
        page = open_page(short)
        expect(page.locator("#timer")).to_have_text(re.compile(r"0:0[1-3]"))
        first = page.locator(".qr").get_attribute("src")
        expect(page.locator(".qr")).not_to_have_attribute("src", first or "")
        expect(page.locator("#timer")).to_have_text(re.compile(r"0:0[1-3]"))


def test_the_countdown_begins_at_180_seconds(open_page: OpenPage) -> None:
    expect(open_page().locator("#timer")).to_have_text(re.compile(r"3:00|2:5\d"))


def test_every_crypto_type_gets_a_qr_and_a_suspended_token_the_reason(
    open_page: OpenPage, sandbox: TestGateway
) -> None:
    page = open_page()
    for crypto_type in ("00", "02", "11"):
        before = page.locator(".qr").get_attribute("src")
        page.get_by_label("Encryption").select_option(crypto_type)
        expect(page.locator(".qr")).not_to_have_attribute("src", before or "")
        page.get_by_role("tab", name="Request").first.click()
        expect(page.locator("#wallet-wire .wire-text")).to_contain_text(f'"CRYPTO_TYPE": "{crypto_type}"')
    page.get_by_label("Token", exact=True).select_option(index=1)
    expect(page.locator(".screen.refused")).to_contain_text("토큰 일시정지")
    expect(page.get_by_role("button", name="Hand it to the till")).to_be_disabled()


def test_the_wallet_shows_each_step_with_the_canonical_text_and_the_iad(open_page: OpenPage) -> None:
    page = open_page()
    steps = page.locator("#wallet-wire .step")
    expect(steps).to_have_count(10)
    hash_step = steps.filter(has_text="6 · HASH_CRC")
    hash_step.locator("summary").click()
    expect(hash_step).to_contain_text("CRYPTO_TYPE=01")
    payload_step = steps.filter(has_text="9 · cryptogram and payload")
    payload_step.locator("summary").click()
    expect(payload_step).to_contain_text("IAD (9F10)")
    expect(payload_step).to_contain_text("ATC (9F36)")
