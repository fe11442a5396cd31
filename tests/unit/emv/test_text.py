"""From text to bytes: every form that people bring, and what is refused or forgiven."""

from __future__ import annotations

import base64
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.emv.text import PAYLOAD_BYTES_MAX, TEXT_CHARACTERS_MAX, read_source
from cpmqr.errors import DecodeError

SAMPLE = (
    "hQVDUFYwMWFaTwfUEAAAAUAQVxNTUCBpAAAAZtIAdgEAAAAAAAmfXzQBAmM2nyYImERHcznr1n2fJwGAnxAUBQmgAAgAAAAAAAAAICAGERdR"
    "IQGfNgIAi4ICAACfNwRm4DtF"
)
BINARY = base64.b64decode(SAMPLE)
WITH_SLASH = base64.b64encode(BINARY[:7] + b"\x57\x06" + b"\xff\xfe\xfb\xff\xbf\x3f").decode()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (SAMPLE, "base64"),
        (f"  {SAMPLE}\r\n", "base64"),
        ("\r\n".join(textwrap.wrap(SAMPLE, 64)), "base64"),
        (BINARY.hex(), "hex"),
        (BINARY.hex().upper(), "hex"),
        (BINARY.hex(" "), "hex"),
        (BINARY.hex(" ", 4).upper().replace(" ", "\n\t"), "hex"),
        (SAMPLE.encode(), "base64"),
        (BINARY.hex().encode(), "hex"),
        (BINARY, "binary"),
        (bytearray(BINARY), "binary"),
        (memoryview(BINARY), "binary"),
    ],
)
def test_every_form_gives_the_same_bytes(text: str | bytes, encoding: str) -> None:
    source = read_source(text)
    assert source.binary == BINARY
    assert source.encoding == encoding
    assert source.text_length == len(SAMPLE)
    assert source.forgiven == ()


def test_the_url_safe_alphabet_is_read_with_and_without_padding() -> None:
    url_safe = base64.urlsafe_b64encode(base64.b64decode(WITH_SLASH)).decode()
    assert "-" in url_safe or "_" in url_safe
    for text in (url_safe, url_safe.rstrip("=")):
        source = read_source(text)
        assert source.encoding == "base64url"
        assert source.binary == base64.b64decode(WITH_SLASH)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "nothing there"),
        (" \n", "nothing there"),
        (b"", "nothing there"),
        (SAMPLE[:40] + " " + SAMPLE[40:], "a blank at character 40"),
        (SAMPLE[:40] + "\t" + SAMPLE[41:], "a blank at character 40"),
        (SAMPLE[:40] + "*" + SAMPLE[41:], "a character that is none of Base64's at character 40"),
        (SAMPLE[:40] + "가" + SAMPLE[41:], "a character that is none of Base64's at character 40"),
        (SAMPLE[:-1], "padding is missing or wrong"),
        (SAMPLE[:-3], "can't be whole bytes"),
        (SAMPLE[:40] + "=" + SAMPLE[41:], "padding in mid-text, at character 40"),
        (SAMPLE + "=", "can't be whole bytes"),
        (SAMPLE + "====", "padding is missing or wrong"),
        (SAMPLE + SAMPLE[:-2] + "*A", "the second begins at character 132"),
        ("8505435", r"an odd number of hex digits \(7\)"),
        ("https://example.com/?q=1", "none of Base64's"),
        ("A" * (TEXT_CHARACTERS_MAX + 1), "over 16384 characters"),
        (b"\x85" * (PAYLOAD_BYTES_MAX + 1), "4097 bytes"),
        ("85" * (PAYLOAD_BYTES_MAX + 1), "4097 bytes"),
    ],
)
def test_damaged_text_is_refused_with_the_place(text: str | bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason) as caught:
        read_source(text)
    assert caught.value.section


def test_a_limit_is_what_still_goes() -> None:
    assert len(read_source("85" * PAYLOAD_BYTES_MAX).binary) == PAYLOAD_BYTES_MAX


@pytest.mark.parametrize(
    ("text", "forgiven"),
    [
        (SAMPLE[:40] + " " + SAMPLE[40:], "1 blank inside"),
        (base64.b64encode(BINARY[:97]).decode().rstrip("="), "padding, which is missing"),
        (SAMPLE + SAMPLE, "a second payload, pasted behind the first at character 132"),
        (SAMPLE + "\n\n" + SAMPLE[:50], "a second payload"),
    ],
)
def test_a_lenient_reading_mends_and_says_so(text: str, forgiven: str) -> None:
    source = read_source(text, lenient=True)
    assert any(forgiven in told for told in source.forgiven)
    assert source.binary == BINARY[: len(source.binary)]


def test_two_whole_payloads_are_read_as_one_only_leniently() -> None:
    assert read_source(SAMPLE + SAMPLE).binary == BINARY + BINARY
    assert read_source(SAMPLE + SAMPLE, lenient=True).binary == BINARY


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200)), st.booleans())
def test_any_input_gives_bytes_or_the_typed_error(source: str | bytes, lenient: bool) -> None:
    try:
        read = read_source(source, lenient=lenient)
    except DecodeError:
        return
    assert read.binary


@given(st.binary(min_size=1, max_size=300))
def test_base64_and_hex_of_anything_are_read_back(data: bytes) -> None:
    binary = BINARY[:7] + data
    assert read_source(base64.b64encode(binary).decode()).binary == binary
    assert read_source(binary.hex()).binary == binary
    assert read_source(base64.urlsafe_b64encode(binary).decode()).binary == binary


def test_something_that_is_neither_text_nor_bytes_is_refused() -> None:
    with pytest.raises(DecodeError, match="text or bytes"):
        read_source(42)  # type: ignore[arg-type]


def test_a_source_prints_without_its_bytes() -> None:
    assert repr(read_source(SAMPLE)) == "<base64, 99 bytes>"
