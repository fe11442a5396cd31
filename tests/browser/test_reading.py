"""Bytes and meanings light each other up, by mouse and by keyboard; PANs are masked until asked for."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

IAD_TIME_AT = 75  # 12 bytes into the value of 9F10
ATC_AT = 83  # of tag 9F36 in a payload of the page's profile


def read(page: Page) -> None:
    page.get_by_role("button", name="Hand it to the till").click()
    page.wait_for_selector(".byte")


def lit_bytes(page: Page) -> list[int]:
    return page.locator(".byte").evaluate_all(
        "cells => cells.flatMap((cell, index) => cell.classList.contains('lit') ? [index] : [])"
    )


def test_pointing_at_a_byte_lights_its_meaning_up(open_page: OpenPage) -> None:
    page = open_page()
    read(page)
    page.locator(".byte").nth(ATC_AT + 3).hover()
    expect(page.locator(".line.lit")).to_contain_text("Application Transaction Counter")
    assert lit_bytes(page) == list(range(ATC_AT, ATC_AT + 5))


def test_pointing_at_a_meaning_lights_its_bytes_up(open_page: OpenPage) -> None:
    page = open_page()
    read(page)
    page.locator(".line", has_text="Application Transaction Counter").hover()
    assert lit_bytes(page) == list(range(ATC_AT, ATC_AT + 5))


def test_a_part_of_the_iad_lights_up_alone(open_page: OpenPage) -> None:
    page = open_page()
    read(page)
    page.locator(".line.part", has_text="issue time").hover()
    assert lit_bytes(page) == list(range(IAD_TIME_AT, IAD_TIME_AT + 7))
    page.locator(".byte").nth(IAD_TIME_AT).hover()
    expect(page.locator(".line.lit")).to_contain_text("Korean time")


def test_arrow_keys_walk_over_bytes_and_meanings(open_page: OpenPage) -> None:
    page = open_page()
    read(page)
    page.locator(".byte").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".byte").nth(9)).to_be_focused()
    expect(page.locator(".line.lit")).to_contain_text("ADF Name")
    expect(page.locator(".byte").nth(9)).to_have_attribute(
        "aria-label", "byte 9: 4F, tag of 4F ADF Name (AID)"
    )
    page.keyboard.press("Tab")
    expect(page.locator(".line").first).to_be_focused()
    page.keyboard.press("End")
    expect(page.locator(".line").last).to_be_focused()


def test_the_pan_is_masked_until_it_is_asked_for(open_page: OpenPage) -> None:
    page = open_page()
    read(page)
    track2 = page.locator(".line", has_text="Track 2")
    expect(track2).to_contain_text("535020••••••0066")
    expect(page.locator("#till-result")).not_to_contain_text("5350206900000066")
    page.get_by_role("button", name="Show the PAN").click()
    expect(track2).to_contain_text("5350206900000066")
