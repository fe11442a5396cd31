"""The operator's side over HTTP: tokens, requestors, credentials."""

from __future__ import annotations

import time

import pytest

from cpmqr.client import Wallet
from cpmqr.client.operator import Operator
from cpmqr.errors import Refused
from cpmqr.model import luhn_ok
from cpmqr.wire import codes

from .conftest import REQUESTOR_ID, Sides


def test_a_made_pan_lies_in_the_range_with_its_check_digit_and_is_told_once(sides: Sides) -> None:
    new = sides.operator.provision_token(requestor_id=REQUESTOR_ID, expiry="3012", bin_prefix="6200")
    assert new.pan.startswith("620000")
    assert luhn_ok(new.pan)
    shown = sides.get(f"/v1/tokens/{new.token_id}")
    assert new.pan not in shown.text
    assert shown.json()["pan_masked"] == f"{new.pan[:6]}******{new.pan[-4:]}"


def test_a_pan_is_provisioned_once(sides: Sides, pan: str) -> None:
    with pytest.raises(Refused) as refused:
        sides.operator.provision_token(requestor_id=REQUESTOR_ID, expiry="3012", pan=pan)
    assert refused.value.rslt_cd == codes.MEMBER_WRONG
    assert pan not in refused.value.rslt_msg


def test_provisioning_answers_201(sides: Sides) -> None:
    order = {"requestor_id": REQUESTOR_ID, "expiry": "3012"}
    response = sides.post("/v1/tokens", order, "operator")
    assert response.status_code == 201


@pytest.mark.parametrize(
    ("order", "named"),
    [
        ({"expiry": "3013"}, "expiry"),
        ({"expiry": "2001"}, "expiry"),
        ({"pan": "5350206900000067"}, "pan"),
        ({"pan": "535020690000006"}, "pan"),
        ({"pan": "5350206900000066\n"}, "pan"),
        ({"bin_prefix": "411111"}, "pan"),
        ({"profile": "nobody"}, "profile"),
        ({"funding_ref": "5350206900000066"}, "funding_ref"),
        ({"requestor_id": "42000000000"}, "requestor_id"),
        ({"requestor_id": "authoriser"}, "requestor_id"),
        ({"psn": "1"}, "psn"),
        ({"service_code": "6O1"}, "service_code"),
        ({"state": "deleted"}, "state"),
    ],
)
def test_an_order_that_breaks_a_rule_names_the_member(
    sides: Sides, order: dict[str, str], named: str
) -> None:
    whole = {"requestor_id": REQUESTOR_ID, "expiry": "3012", **order}
    response = sides.post("/v1/tokens", whole, "operator")
    assert (response.status_code, response.json()["rslt_cd"]) == (400, codes.MEMBER_WRONG)
    assert named in response.json()["detail"]
    assert "5350206900000066" not in response.text


def test_a_token_is_suspended_resumed_and_deleted_and_each_twice(sides: Sides, pan: str) -> None:
    operator: Operator = sides.operator
    token_id = operator.find_token(pan).token_id
    assert [operator.suspend_token(token_id).state for _ in range(2)] == ["suspended"] * 2
    with pytest.raises(Refused) as refused:
        sides.wallet.request_qr(pan=pan)
    assert refused.value.rslt_cd == codes.TOKEN_SUSPENDED
    assert [operator.resume_token(token_id).state for _ in range(2)] == ["active"] * 2
    assert sides.wallet.request_qr(pan=pan)
    assert [operator.delete_token(token_id).state for _ in range(2)] == ["deleted"] * 2
    for change in (operator.suspend_token, operator.resume_token):
        with pytest.raises(Refused) as refused:
            change(token_id)
        assert (refused.value.rslt_cd, refused.value.http_status) == (codes.TOKEN_DELETED, 410)


@pytest.mark.parametrize("token_id", ["0" * 16, "f" * 16, "7fffffffffffffff", "1", "x" * 16, "%20"])
def test_no_token_is_404(sides: Sides, token_id: str) -> None:
    for call in (sides.operator.token, sides.operator.suspend_token, sides.operator.delete_token):
        with pytest.raises(Refused) as refused:
            call(token_id)
        assert (refused.value.rslt_cd, refused.value.http_status) == (codes.NO_TOKEN, 404)


def test_a_list_comes_in_pages_that_meet(sides: Sides) -> None:
    for _ in range(3):
        sides.new_pan()
    seen: list[str] = []
    after = None
    while True:
        page = sides.operator.token_page(limit=2, after=after)
        assert len(page.tokens) <= 2
        seen += [token.token_id for token in page.tokens]
        if (after := page.after) is None:
            break
    assert seen == sorted(seen)
    assert len(seen) == len(set(seen))
    assert seen == [token.token_id for token in sides.operator.tokens()]


def test_a_list_can_be_narrowed(sides: Sides, pan: str) -> None:
    token = sides.operator.find_token(pan)
    sides.operator.suspend_token(token.token_id)
    suspended = list(sides.operator.tokens(state="suspended", requestor_id=REQUESTOR_ID))
    assert token.token_id in [one.token_id for one in suspended]
    assert {one.state for one in suspended} == {"suspended"}
    assert list(sides.operator.tokens(requestor_id="42000000099")) == []


def test_a_token_tells_what_follows_from_expiry_and_counter(sides: Sides) -> None:
    standings = {
        state: sides.operator.find_token(sides.running.pan(state)).standing
        for state in ("active", "suspended", "deleted", "expired", "exhausted")
    }
    assert all(state == standing for state, standing in standings.items())


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "after=x", "state=lost", "page=2", "limit=1&limit=2"]
)
def test_a_wrong_query_is_refused(sides: Sides, query: str) -> None:
    response = sides.get(f"/v1/tokens?{query}")
    assert (response.status_code, response.json()["rslt_cd"]) == (400, codes.MEMBER_WRONG)


def test_an_unknown_pan_has_no_token(sides: Sides) -> None:
    with pytest.raises(Refused) as refused:
        sides.operator.find_token("4111111111111111")
    assert refused.value.rslt_cd == codes.NO_TOKEN


def test_requestors_are_listed_without_any_secret(sides: Sides) -> None:
    response = sides.get("/v1/requestors?limit=2")
    page = response.json()
    assert [one["requestor_id"] for one in page["requestors"]] == [REQUESTOR_ID, "42000000099"]
    assert page["after"] == "42000000099"
    rest = sides.operator.requestor_page(after=page["after"])
    assert [one.role for one in rest.requestors] == ["authoriser", "operator"]
    assert rest.after is None
    for secret in (sides.file["authorization"], sides.file["hash_crc"]["key_hex"]):
        assert secret not in response.text


def test_a_credential_is_rotated_without_one_refused_request(sides: Sides, pan: str) -> None:
    operator, wallet = sides.operator, sides.wallet
    (old,) = operator.credentials(REQUESTOR_ID).credentials
    new = operator.add_credential(REQUESTOR_ID)
    with pytest.raises(Refused) as refused:  # the third
        operator.add_credential(REQUESTOR_ID)
    assert refused.value.rslt_cd == codes.MEMBER_WRONG
    with Wallet(wallet.gateway, authorization=new.authorization) as renewed:
        assert renewed.request_qr(pan=pan)
        assert wallet.request_qr(pan=pan)
        left = operator.revoke_credential(REQUESTOR_ID, new.credential_id)
        assert [one.credential_id for one in left.credentials] == [old.credential_id]
        with pytest.raises(Refused) as refused:
            renewed.request_qr(pan=pan)
    assert refused.value.rslt_cd == codes.NOT_AUTHENTICATED
    assert wallet.request_qr(pan=pan)


def test_a_credential_that_is_not_there_can_not_be_revoked(sides: Sides) -> None:
    (live,) = sides.operator.credentials("authoriser").credentials
    for requestor_id, credential_id in (("authoriser", "0" * 16), (REQUESTOR_ID, live.credential_id)):
        with pytest.raises(Refused) as refused:
            sides.operator.revoke_credential(requestor_id, credential_id)
        assert refused.value.rslt_cd == codes.MEMBER_WRONG
    assert sides.operator.credentials("authoriser").credentials == [live]


def test_an_operator_rotates_its_own_credential(sides: Sides) -> None:
    new = sides.operator.add_credential("operator")
    assert len(sides.operator.revoke_credential("operator", new.credential_id).credentials) == 1


def test_an_operator_does_not_lock_itself_out(sides: Sides) -> None:
    with pytest.raises(Refused) as refused:
        sides.operator.suspend_requestor("operator")
    assert refused.value.rslt_cd == codes.MEMBER_WRONG


def test_a_suspended_authoriser_is_refused(sides: Sides) -> None:
    sides.operator.suspend_requestor("authoriser")
    try:
        response = sides.post("/v1/verifications", {"authorization_id": "a", "payload": "x"})
    finally:
        sides.operator.resume_requestor("authoriser")
    assert (response.status_code, response.json()["rslt_cd"]) == (403, codes.REQUESTOR_SUSPENDED)


@pytest.mark.parametrize("side", ["requestor", "authoriser"])
def test_nobody_but_an_operator_sees_tokens(sides: Sides, side: str) -> None:
    for path in ("/v1/tokens", "/v1/requestors", "/v1/events", "/v1/tokens/0123456789abcdef"):
        assert sides.get(path, side).json()["rslt_cd"] == codes.NOT_YOURS


def test_what_an_operator_did_stands_in_the_times_of_the_token(sides: Sides) -> None:
    before = int(time.time())
    new = sides.operator.provision_token(requestor_id=REQUESTOR_ID, expiry="3012")
    assert before <= new.created_at.timestamp() <= time.time()
