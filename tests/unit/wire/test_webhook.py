"""Signatures of notifications: the published example, every change of a delivery, the clock's edges."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.errors import ConfigError, UntrustedAnswer
from cpmqr.wire import webhook

NOW_S = 1_795_392_000
KEY = bytes(range(32))
OLD_KEY = bytes(range(32, 64))
NOTICE = webhook.Notice(
    "qr.used",
    datetime(2026, 11, 23, tzinfo=UTC),
    webhook.QrUsed(
        qr_data_mapp_val="95050000000800900019F26084934E9FD0E3E169",
        requestor_id="42000000066",
        trace_no="NPAY202009XX123XXXX35",
        token_id="0f3a5c7e9b1d2e4f",
        atc=139,
        issued_at=datetime(2026, 11, 22, 23, 59, tzinfo=UTC),
        used_at=datetime(2026, 11, 23, tzinfo=UTC),
    ),
)
BODY = msgspec.json.encode(NOTICE)


def test_the_example_of_the_standard_webhooks_specification_is_signed_as_printed() -> None:
    """Source: github.com/standard-webhooks/standard-webhooks, the example that its libraries test with."""
    key = webhook.read_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = webhook.sign([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_was_signed_is_read() -> None:
    headers = webhook.sign([KEY], "event-1", NOW_S, BODY)
    assert webhook.verify(headers, BODY, [KEY], NOW_S) == NOTICE


def test_the_body_is_json_with_times_in_utc() -> None:
    assert msgspec.json.decode(BODY)["data"]["used_at"] == "2026-11-23T00:00:00Z"


def test_header_names_are_read_in_any_case() -> None:
    headers = {name.title(): value for name, value in webhook.sign([KEY], "event-1", NOW_S, BODY).items()}
    assert webhook.verify(headers, BODY, [KEY], NOW_S) == NOTICE


def test_during_a_rotation_either_key_is_enough_on_either_side() -> None:
    headers = webhook.sign([KEY, OLD_KEY], "event-1", NOW_S, BODY)
    for keys in ([KEY], [OLD_KEY], [bytes(32), OLD_KEY]):
        assert webhook.verify(headers, BODY, keys, NOW_S)


@pytest.mark.parametrize("off_s", [-300, 300])
def test_a_delivery_is_good_for_five_minutes_either_way(off_s: int) -> None:
    headers = webhook.sign([KEY], "event-1", NOW_S, BODY)
    assert webhook.verify(headers, BODY, [KEY], NOW_S + off_s)
    with pytest.raises(UntrustedAnswer):
        webhook.verify(headers, BODY, [KEY], NOW_S + off_s + off_s // 300)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_is_missing_or_changed_is_not_trusted(name: str) -> None:
    headers = webhook.sign([KEY], "event-1", NOW_S, BODY)
    changed = [{**headers, name: value} for value in ("", "x", headers[name] + "1", "v1,", "é")]
    for wrong in (*changed, {key: value for key, value in headers.items() if key != name}):
        with pytest.raises(UntrustedAnswer):
            webhook.verify(wrong, BODY, [KEY], NOW_S)


def test_another_key_or_none_does_not_open_it() -> None:
    headers = webhook.sign([KEY], "event-1", NOW_S, BODY)
    for keys in ([], [OLD_KEY]):
        with pytest.raises(UntrustedAnswer):
            webhook.verify(headers, BODY, keys, NOW_S)


@given(place=st.integers(0, len(BODY) - 1), flip=st.integers(1, 255))
def test_no_byte_of_the_body_can_be_changed(place: int, flip: int) -> None:
    headers = webhook.sign([KEY], "event-1", NOW_S, BODY)
    changed = BODY[:place] + bytes([BODY[place] ^ flip]) + BODY[place + 1 :]
    with pytest.raises(UntrustedAnswer):
        webhook.verify(headers, changed, [KEY], NOW_S)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"type":"qr.lost"}', b"[" * 10_000, b"x" * 16_385])
def test_a_signed_body_of_another_kind_is_not_read(body: bytes) -> None:
    headers = webhook.sign([KEY], "event-1", NOW_S, body)
    with pytest.raises(UntrustedAnswer):
        webhook.verify(headers, body, [KEY], NOW_S)


def test_members_that_are_new_do_no_harm() -> None:
    body = BODY.replace(b'"atc":139', b'"atc":139,"till":"7"')
    assert webhook.verify(webhook.sign([KEY], "event-1", NOW_S, body), body, [KEY], NOW_S) == NOTICE


@given(key=st.binary(min_size=16, max_size=64))
def test_a_secret_is_read_as_it_was_written(key: bytes) -> None:
    assert webhook.read_secret(webhook.write_secret(key)) == key
    assert webhook.read_secret(key.hex()) == key


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_???", "whsec_AAAA", "xyz", "00" * 15, "whsec_é"])
def test_what_is_no_secret_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        webhook.read_secret(text)
    assert len(text) < 7 or text not in str(refused.value)
