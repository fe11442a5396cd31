"""A wallet's server looks after its QRs: state, revocation, a batch for offline use."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from cpmqr.client import QrData
from cpmqr.client.endpoint import Endpoint
from cpmqr.client.issued import IssuedQrs
from cpmqr.emv import cpm
from cpmqr.errors import Refused
from cpmqr.wire import codes

from .conftest import REQUESTOR_ID, Sides

OTHER_REQUESTOR = "42000000099"


def qrs_of(answers: list[object]) -> list[QrData]:
    assert all(isinstance(answer, QrData) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, QrData)]


def test_a_qr_goes_from_issued_to_used(sides: Sides, pan: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    before = sides.issued.qr(qr.mapping_value)
    sides.authoriser.verify(payload=qr.base64)
    after = sides.issued.qr(qr.mapping_value)
    assert (before.state, before.used_at) == ("issued", None)
    assert after.state == "used"
    assert after.used_at is not None
    assert (after.trace_no, after.atc, after.profile) == (qr.trace_no, 1, "bc-domestic")
    assert sides.authoriser.qr(qr.mapping_value) == after


def test_a_handle_is_read_in_small_letters_too(sides: Sides, pan: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    assert sides.issued.qr(qr.mapping_value.lower()).qr_data_mapp_val == qr.mapping_value


@pytest.mark.parametrize(("after_s", "state"), [(180, "issued"), (181, "expired")])
def test_a_qr_shows_as_expired_from_the_second_after_its_end(
    sides: Sides, pan: str, after_s: int, state: str
) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    issued_at = sides.issued.qr(qr.mapping_value).issued_at
    with sides.issued_at(issued_at + timedelta(seconds=after_s)) as later:
        assert later.qr(qr.mapping_value).state == state


def test_a_used_or_revoked_qr_does_not_show_as_expired(sides: Sides, pan: str) -> None:
    used, revoked = (sides.wallet.request_qr(pan=pan) for _ in range(2))
    sides.authoriser.verify(payload=used.base64)
    sides.issued.revoke(revoked.mapping_value)
    with sides.issued_at(used.issued_at + timedelta(hours=1)) as later:
        assert later.qr(used.mapping_value).state == "used"
        assert later.qr(revoked.mapping_value).state == "revoked"


@pytest.mark.parametrize(
    "handle",
    ["0" * 40, "F" * 40, "95050000000800900019F26084934E9FD0E3E169", "x", "é", "%00", "9" * 500],
)
def test_what_is_no_handle_of_ours_is_no_qr(sides: Sides, handle: str) -> None:
    for call in (sides.issued.qr, sides.issued.revoke, sides.authoriser.qr):
        with pytest.raises(Refused) as refused:
            call(handle)
        assert (refused.value.rslt_cd, refused.value.http_status) == (codes.NO_QR, 404)


def test_a_handle_with_any_digit_changed_is_no_qr(sides: Sides, pan: str) -> None:
    handle = sides.wallet.request_qr(pan=pan).mapping_value
    for place in range(40):
        other = "0" if handle[place] != "0" else "1"
        response = sides.get(f"/v1/qrs/{handle[:place]}{other}{handle[place + 1 :]}", "authoriser")
        assert response.json()["rslt_cd"] == codes.NO_QR


def test_another_requestors_qr_is_no_qr(sides: Sides, pan: str) -> None:
    """Not "forbidden": that would tell that it exists."""
    handle = sides.wallet.request_qr(pan=pan).mapping_value
    sides.operator.resume_requestor(OTHER_REQUESTOR)
    try:
        credential = sides.file["suspended_requestor"]["authorization"]
        with IssuedQrs(Endpoint(sides.running.base_url, credential)) as stranger:
            for call in (stranger.qr, stranger.revoke):
                with pytest.raises(Refused) as refused:
                    call(handle)
                assert refused.value.rslt_cd == codes.NO_QR
            (outcome,) = stranger.revoke_together([handle]).qrs
    finally:
        sides.operator.suspend_requestor(OTHER_REQUESTOR)
    assert outcome.rslt_cd == codes.NO_QR
    assert sides.issued.qr(handle).state == "issued"


def test_revoking_again_changes_nothing(sides: Sides, pan: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    assert [sides.issued.revoke(qr.mapping_value).state for _ in range(2)] == ["revoked", "revoked"]


def test_a_used_qr_can_not_be_revoked(sides: Sides, pan: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    sides.authoriser.verify(payload=qr.base64)
    with pytest.raises(Refused) as refused:
        sides.issued.revoke(qr.mapping_value)
    assert refused.value.rslt_cd == codes.QR_USED


@pytest.mark.parametrize("side", ["authoriser", "operator"])
def test_only_its_requestor_revokes_a_qr(sides: Sides, pan: str, side: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    response = sides.post(f"/v1/qrs/{qr.mapping_value}/revoke", {}, side)
    assert (response.status_code, response.json()["rslt_cd"]) == (403, codes.NOT_YOURS)


def test_a_batch_gives_qrs_with_counters_of_their_own_and_a_longer_life(sides: Sides, pan: str) -> None:
    requests = [sides.wallet.prepare(pan=pan) for _ in range(10)]
    qrs = qrs_of(sides.issued.request_batch(sides.wallet.gateway, requests))
    assert [cpm.decode(qr.base64).applications[0].atc for qr in qrs] == list(range(1, 11))
    assert len({qr.mapping_value for qr in qrs}) == 10
    state = sides.issued.qr(qrs[0].mapping_value)
    assert state.expires_at - state.issued_at == timedelta(days=1)
    with sides.authoriser_at(state.issued_at + timedelta(hours=23)) as till:
        assert till.verify(payload=qrs[3].base64).result == "approved"


def test_a_batch_sent_again_gives_the_same_qrs_in_any_company(sides: Sides, pan: str) -> None:
    requests = [sides.wallet.prepare(pan=pan) for _ in range(4)]
    first = qrs_of(sides.issued.request_batch(sides.wallet.gateway, requests))
    more = [requests[2], sides.wallet.prepare(pan=pan)]
    again = qrs_of(sides.issued.request_batch(sides.wallet.gateway, more))
    assert again[0].base64 == first[2].base64
    assert again[0].mapping_value == first[2].mapping_value
    assert sides.operator.find_token(pan).atc == 5


def test_a_refused_request_of_a_batch_harms_no_other(sides: Sides, pan: str) -> None:
    other = sides.new_pan()
    sides.operator.suspend_token(sides.operator.find_token(other).token_id)
    requests = [sides.wallet.prepare(pan=one) for one in (pan, other, pan)]
    good, refused, good_too = sides.issued.request_batch(sides.wallet.gateway, requests)
    assert isinstance(refused, Refused)
    assert refused.rslt_cd == codes.TOKEN_SUSPENDED
    assert qrs_of([good, good_too])


def test_a_batch_of_which_nothing_could_be_issued_is_a_problem(sides: Sides) -> None:
    requests = [sides.wallet.prepare(pan=sides.running.pan("deleted")) for _ in range(2)]
    with pytest.raises(Refused) as refused:
        sides.issued.request_batch(sides.wallet.gateway, requests)
    assert (refused.value.rslt_cd, refused.value.http_status) == (codes.TOKEN_DELETED, 410)


def test_one_trace_number_is_not_for_both_calls(sides: Sides, pan: str) -> None:
    prepared = sides.wallet.prepare(pan=pan)
    (offline,) = qrs_of(sides.issued.request_batch(sides.wallet.gateway, [prepared]))
    with pytest.raises(Refused) as refused:
        sides.wallet.send(prepared)
    assert refused.value.rslt_cd == codes.DUPLICATE_TRACE
    assert sides.issued.qr(offline.mapping_value).state == "issued"


def test_a_batch_with_one_trace_number_twice_is_refused_whole(sides: Sides, pan: str) -> None:
    prepared = sides.wallet.prepare(pan=pan)
    with pytest.raises(Refused) as refused:
        sides.issued.request_batch(sides.wallet.gateway, [prepared, prepared])
    assert refused.value.rslt_cd == codes.MEMBER_WRONG
    assert sides.operator.find_token(pan).atc == 0


@pytest.mark.parametrize("count", [0, 11])
def test_a_batch_is_one_to_ten_requests(sides: Sides, pan: str, count: int) -> None:
    requests = [sides.wallet.prepare(pan=pan).members for _ in range(count)]
    response = sides.post("/v1/qrs/batch", {"requests": requests}, "requestor")
    assert (response.status_code, response.json()["rslt_cd"]) == (400, codes.MEMBER_WRONG)


@pytest.mark.parametrize(
    ("member", "value", "rslt_cd"),
    [
        ("ENC_DATA", "AAAA", codes.HASH_WRONG),
        ("HASH_CRC", "AAAA", codes.HASH_WRONG),
        ("CRYPTO_KEY_VER", "77", codes.KEY_VERSION),
        ("CRYPTO_TYPE", "77", codes.CRYPTO_TYPE),
        ("REQUESTOR_ID", OTHER_REQUESTOR, codes.NOT_YOURS),
        ("MSG_CD", "Q999", codes.UNKNOWN_MESSAGE),
        ("TRNS_TRCE_NO", "", codes.MEMBER_WRONG),
    ],
)
def test_a_request_of_a_batch_is_checked_as_if_it_came_alone(
    sides: Sides, pan: str, member: str, value: str, rslt_cd: str
) -> None:
    members = sides.wallet.prepare(pan=pan).members | {member: value}
    response = sides.post("/v1/qrs/batch", {"requests": [members]}, "requestor")
    assert response.json()["rslt_cd"] == rslt_cd


def test_what_is_left_of_a_batch_is_revoked_together(sides: Sides, pan: str) -> None:
    requests = [sides.wallet.prepare(pan=pan) for _ in range(4)]
    qrs = qrs_of(sides.issued.request_batch(sides.wallet.gateway, requests))
    sides.authoriser.verify(payload=qrs[1].base64)
    handles = [*[qr.mapping_value for qr in qrs], "0" * 40]
    outcomes = sides.issued.revoke_together(handles).qrs
    assert [outcome.qr_data_mapp_val for outcome in outcomes] == handles
    assert [outcome.rslt_cd for outcome in outcomes] == ["0000", "5005", "0000", "0000", "5003"]
    assert sides.authoriser.verify(payload=qrs[0].base64).rslt_cd == codes.QR_REVOKED


def test_a_gateway_may_offer_no_qrs_for_offline_use(new_sides: Callable[..., Sides]) -> None:
    sides = new_sides(issuing__offline_ttl_s=0)
    with pytest.raises(Refused) as refused:
        sides.issued.request_batch(sides.wallet.gateway, [sides.wallet.prepare(pan=sides.running.pan())])
    assert refused.value.rslt_cd == codes.UNKNOWN_MESSAGE


def test_the_lifetimes_are_the_deployments(new_sides: Callable[..., Sides]) -> None:
    sides = new_sides(issuing__qr_ttl_s=5, issuing__offline_ttl_s=50)
    pan = sides.running.pan()
    one = sides.issued.qr(sides.wallet.request_qr(pan=pan).mapping_value)
    (offline,) = qrs_of(sides.issued.request_batch(sides.wallet.gateway, [sides.wallet.prepare(pan=pan)]))
    other = sides.issued.qr(offline.mapping_value)
    assert (one.expires_at - one.issued_at).total_seconds() == 5
    assert (other.expires_at - other.issued_at).total_seconds() == 50
    assert one.requestor_id == REQUESTOR_ID
