"""The inspector and the trigger board."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import OpenPage

from cpmqr.testing import TestGateway
from cpmqr.wire import codes

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_the_inspector_shows_another_clients_request_as_it_comes_and_explains_it(
    open_page: OpenPage, sandbox: TestGateway
) -> None:
    page = open_page()
    with sandbox.wallet(headers={"User-Agent": "a-phone/1.0"}) as wallet:
        trace_no = wallet.request_qr(pan=sandbox.pan()).trace_no
    newest = page.locator("tr.request", has_text="a-phone/1.0").first
    newest.get_by_role("button").click()
    detail = page.locator("tr.detail")
    expect(detail.locator(".step")).to_have_count(10)
    detail.get_by_role("tab", name="Request").click()
    expect(detail).to_contain_text(trace_no)
    newest.get_by_role("button").click()
    expect(detail).to_have_count(0)


def test_a_refused_request_is_open_at_the_step_that_refused_it(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("[data-code='3004']").get_by_role("button").click()
    row = page.locator("tr.request", has_text="3004").first
    row.click()
    stopped = page.locator("tr.detail .step.stopped")
    expect(stopped).to_have_count(1)
    expect(stopped).to_contain_text("6 · HASH_CRC")
    expect(stopped).to_contain_text("무결성 검증 실패")
    expect(stopped.get_by_text("canonical text")).to_be_visible()


def test_verifications_are_in_the_inspector_too(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("button", name="Hand it to the till").click()
    page.get_by_role("button", name="Authorise", exact=True).click()
    expect(page.locator("tr.request", has_text="/v1/verifications").first).to_contain_text("0000")


def test_every_code_of_the_catalogue_is_provoked_by_its_button(open_page: OpenPage) -> None:
    page = open_page()
    expect(page.locator(".trigger")).to_have_count(len(codes.CODES))
    page.get_by_role("button", name="Try them all").click()
    done = f"{len(codes.CODES)} of {len(codes.CODES)} answered as expected"
    expect(page.locator("#try-all")).to_contain_text(re.compile(r"\d+ of \d+ answered"), timeout=60_000)
    unexpected = page.locator(".trigger:has(.pill.bad)").all_inner_texts()
    assert unexpected == []
    expect(page.locator("#try-all")).to_contain_text(done)
