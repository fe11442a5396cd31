"""Notifications of used QRs: signed, at least once, tried again, given up, replayed; to receivers of every kind."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from cpmqr.client.webhook import read_notice
from cpmqr.errors import Refused, UntrustedAnswer
from cpmqr.testing import gateway
from cpmqr.wire import codes, v1

from .conftest import Sides
from .receiver import answer, drop, hang, pour, receiving

OK = answer(200)


@pytest.fixture(scope="module")
def quick() -> Iterator[Sides]:
    """A gateway whose patience with receivers is short."""
    overrides = {
        "webhooks__poll_s": 0.05,
        "webhooks__timeout_s": 0.5,
        "webhooks__first_pause_s": 1.0,
        "webhooks__pause_max_s": 1.0,
        "webhooks__retry_for_s": 2.5,
    }
    with gateway(**overrides) as running:
        sides = Sides(running)
        yield sides
        sides.close()


def use_a_qr(sides: Sides) -> v1.Qr:
    qr = sides.wallet.request_qr(pan=sides.running.pan())
    assert sides.authoriser.verify(payload=qr.base64).result == "approved"
    return sides.issued.qr(qr.mapping_value)


def event(sides: Sides, event_id: str) -> v1.Event:
    return next(one for one in all_events(sides) if one.event_id == event_id)


def all_events(sides: Sides) -> list[v1.Event]:
    events, after = [], None
    while True:
        page = sides.operator.event_page(after=after)
        events += page.events
        if (after := page.after) is None:
            return events


def settled(sides: Sides, event_id: str, state: str, seconds: float = 10.0) -> v1.Event:
    deadline = time.monotonic() + seconds
    while (one := event(sides, event_id)).state != state and time.monotonic() < deadline:
        time.sleep(0.05)
    assert one.state == state, one
    return one


def test_a_used_qr_is_told_once_with_a_signature_that_holds(quick: Sides) -> None:
    secret = quick.file["webhook"]["key_hex"]
    with receiving(OK) as receiver:
        quick.change_requestor(webhook_url=receiver.url)
        qr = use_a_qr(quick)
        headers, body = receiver.wait(1)[0]
        notice = read_notice(headers, body, secret=secret)
        told = settled(quick, headers["webhook-id"], "delivered")
        time.sleep(1.2)
        assert len(receiver.deliveries) == 1
    assert notice.type == "qr.used"
    assert notice.data.qr_data_mapp_val == qr.qr_data_mapp_val
    assert notice.data.trace_no == qr.trace_no
    assert notice.data.used_at == qr.used_at
    assert (told.kind, told.attempts, told.last_error) == ("qr.used", 1, "")
    for wrong in (body + b" ", body.replace(b"qr.used", b"qr.usec")):
        with pytest.raises(UntrustedAnswer):
            read_notice(headers, wrong, secret=secret)
    with pytest.raises(UntrustedAnswer):  # overheard, and sent again later
        read_notice(headers, body, secret=secret, now_s=time.time() + 400)
    assert quick.running.pan().encode() not in body


def test_a_declined_verification_is_not_told(quick: Sides) -> None:
    with receiving(OK) as receiver:
        quick.change_requestor(webhook_url=receiver.url)
        qr = quick.wallet.request_qr(pan=quick.running.pan())
        quick.issued.revoke(qr.mapping_value)
        assert quick.authoriser.verify(payload=qr.base64).rslt_cd == codes.QR_REVOKED
        use_a_qr(quick)
        receiver.wait(1)
        time.sleep(0.3)
        assert len(receiver.deliveries) == 1


@pytest.mark.parametrize(
    "failure", [answer(500), answer(404), drop, hang(1.0)], ids=["500", "404", "drop", "hang"]
)
def test_a_receiver_that_fails_is_told_again_under_the_same_id(quick: Sides, failure: object) -> None:
    with receiving(failure, OK) as receiver:  # type: ignore[arg-type]
        quick.change_requestor(webhook_url=receiver.url)
        use_a_qr(quick)
        (first, body), (second, again) = receiver.wait(2)[:2]
        told = settled(quick, first["webhook-id"], "delivered")
    assert first["webhook-id"] == second["webhook-id"]
    assert body == again
    assert told.attempts == 2
    read_notice(second, again, secret=quick.file["webhook"]["key_hex"])


def test_a_receiver_that_never_takes_it_is_given_up_shown_and_replayed(quick: Sides) -> None:
    with receiving(answer(503)) as receiver:
        quick.change_requestor(webhook_url=receiver.url)
        use_a_qr(quick)
        headers, _ = receiver.wait(1)[0]
        dead = settled(quick, headers["webhook-id"], "dead")
        assert dead.attempts == 3
        assert "503" in dead.last_error
        assert dead.event_id in [one.event_id for one in quick.operator.event_page(state="dead").events]
        receiver.behaviours = (OK,)
        replayed = quick.operator.replay_event(dead.event_id)
        assert (replayed.state, replayed.attempts) == ("pending", 0)
        settled(quick, dead.event_id, "delivered")
        told_again, _ = receiver.deliveries[-1]
    assert told_again["webhook-id"] == dead.event_id


def test_an_event_that_is_not_there_can_not_be_replayed(quick: Sides) -> None:
    with pytest.raises(Refused) as refused:
        quick.operator.replay_event("0" * 32)
    assert refused.value.rslt_cd == codes.MEMBER_WRONG


def test_a_redirect_is_not_followed(quick: Sides) -> None:
    with receiving(OK) as elsewhere, receiving(answer(307, ("location", elsewhere.url)), OK) as receiver:
        quick.change_requestor(webhook_url=receiver.url)
        use_a_qr(quick)
        receiver.wait(2)
        assert elsewhere.deliveries == []


def test_an_answer_without_end_holds_nothing_up(quick: Sides) -> None:
    with receiving(pour) as receiver:
        quick.change_requestor(webhook_url=receiver.url)
        use_a_qr(quick)
        headers, _ = receiver.wait(1)[0]
        assert settled(quick, headers["webhook-id"], "delivered", seconds=2).attempts == 1


def test_a_receiver_that_is_not_there_fails_like_any_other(quick: Sides) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        quick.change_requestor(webhook_url=f"http://127.0.0.1:{nobody.getsockname()[1]}/")
        before = {one.event_id for one in all_events(quick)}
        use_a_qr(quick)
        (new,) = {one.event_id for one in all_events(quick)} - before
        assert "ConnectError" in settled(quick, new, "dead").last_error


def test_without_a_webhook_nothing_is_put_in_the_outbox(quick: Sides) -> None:
    quick.change_requestor(webhook_url="")
    before = len(all_events(quick))
    use_a_qr(quick)
    assert len(all_events(quick)) == before
