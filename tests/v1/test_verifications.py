"""Verification over HTTP: what is approved, what is declined and with which code, what is told with it."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

import pytest

from cpmqr.client import QrData
from cpmqr.client.authoriser import new_authorization_id
from cpmqr.emv import cpm, tlv
from cpmqr.errors import Refused
from cpmqr.wire import codes, v1

from .conftest import KOREA, REQUESTOR_ID, Sides

CONTRACT_MEMBERS = {
    "result",
    "rslt_cd",
    "token_id",
    "funding_ref",
    "requestor_id",
    "trace_no",
    "atc",
    "issued_at",
    "expires_at",
    "qr_data_mapp_val",
}


def de55(qr: QrData) -> str:
    """ICC data as a terminal makes them: what the QR hands on, and its own amount, date and country."""
    application = cpm.decode(qr.base64).applications[0]
    own = bytes.fromhex("9F0206000000010000 9A03261124 9F1A020410 9505 0000000000".replace(" ", ""))
    name = tlv.build([tlv.primitive("84", application.adf_name)])
    return (application.transparent + name + own).hex().upper()


def track2(qr: QrData) -> str:
    application = cpm.decode(qr.base64).applications[0]
    return application.value("57").hex().upper().rstrip("F").replace("D", "=")


def test_a_fresh_qr_is_approved_with_the_contracts_members(sides: Sides) -> None:
    pan = sides.new_pan(funding_ref="account-17")
    qr = sides.wallet.request_qr(pan=pan)
    response = sides.post(
        "/v1/verifications", {"authorization_id": new_authorization_id(), "payload": qr.base64}
    )
    answer = response.json()
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert set(answer) == CONTRACT_MEMBERS
    assert answer["result"] == "approved"
    assert answer["rslt_cd"] == "0000"
    assert answer["funding_ref"] == "account-17"
    assert answer["requestor_id"] == "42000000066"
    assert answer["trace_no"] == qr.trace_no
    assert answer["qr_data_mapp_val"] == qr.mapping_value
    assert answer["atc"] == 1
    assert answer["issued_at"].endswith("Z")
    assert pan not in response.text


@pytest.mark.parametrize("spelling", ["base64", "hex", "HEX"])
def test_a_payload_may_be_base64_or_hex(sides: Sides, pan: str, spelling: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    text = qr.base64 if spelling == "base64" else base64.b64decode(qr.base64).hex()
    verdict = sides.authoriser.verify(payload=text.upper() if spelling == "HEX" else text)
    assert verdict.result == "approved"


@pytest.mark.parametrize("separator", ["=", "D", "d"])
def test_what_an_authorisation_message_carries_is_enough(sides: Sides, pan: str, separator: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    verdict = sides.authoriser.verify(track2=track2(qr).replace("=", separator), icc_data=de55(qr))
    assert verdict.result == "approved"


def test_track_2_may_come_as_the_hex_of_tag_57_or_with_sentinels(sides: Sides, pan: str) -> None:
    for text in ("{}", ";{}?"):
        qr = sides.wallet.request_qr(pan=pan)
        verdict = sides.authoriser.verify(track2=text.format(track2(qr)), icc_data=de55(qr))
        assert verdict.result == "approved"
    qr = sides.wallet.request_qr(pan=pan)
    tag57 = cpm.decode(qr.base64).applications[0].value("57").hex()
    assert sides.authoriser.verify(track2=tag57, icc_data=de55(qr)).result == "approved"


@pytest.mark.parametrize(("profile", "bin_prefix"), [("unionpay", "620000"), ("emvco", "535020")])
def test_a_qr_of_another_scheme_is_verified_by_its_own_profile(
    sides: Sides, profile: str, bin_prefix: str
) -> None:
    pan = sides.new_pan(profile=profile, bin_prefix=bin_prefix)
    whole, message = (sides.wallet.request_qr(pan=pan) for _ in range(2))
    assert sides.issued.qr(whole.mapping_value).profile == profile
    assert sides.authoriser.verify(payload=forged(whole.base64, "9F10")).rslt_cd == codes.CRYPTOGRAM_WRONG
    assert sides.authoriser.verify(payload=whole.base64).result == "approved"
    assert sides.authoriser.verify(track2=track2(message), icc_data=de55(message)).result == "approved"


def test_the_second_asking_under_another_name_is_declined_as_used(sides: Sides, pan: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    first = sides.authoriser.verify(payload=qr.base64)
    second = sides.authoriser.verify(payload=qr.base64)
    assert first.result == "approved"
    assert isinstance(second, v1.Declined)
    assert (second.rslt_cd, second.status) == (codes.QR_USED, 409)
    assert second.trace_no == qr.trace_no


def test_the_same_authorization_id_gets_the_same_bytes(sides: Sides, pan: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    as_hex = base64.b64decode(qr.base64).hex()
    for payload in (qr.base64, forged(qr.base64, "9F26")):
        name = new_authorization_id()
        first = sides.post("/v1/verifications", {"authorization_id": name, "payload": payload})
        again = sides.post("/v1/verifications", {"authorization_id": name, "payload": payload})
        assert (first.status_code, first.content) == (again.status_code, again.content)
        assert "x-answered-before" not in first.headers
        assert again.headers["x-answered-before"] == "true"
    same_qr = sides.post("/v1/verifications", {"authorization_id": "hex-1" + name, "payload": as_hex})
    assert same_qr.json()["rslt_cd"] == codes.QR_USED


def test_a_declined_authorization_id_stays_declined_when_the_reason_is_gone(sides: Sides, pan: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    token_id = sides.operator.find_token(pan).token_id
    sides.operator.suspend_token(token_id)
    body = {"authorization_id": new_authorization_id(), "payload": qr.base64}
    first = sides.post("/v1/verifications", body)
    sides.operator.resume_token(token_id)
    again = sides.post("/v1/verifications", body)
    assert first.json()["rslt_cd"] == codes.TOKEN_SUSPENDED
    assert first.content == again.content
    assert sides.authoriser.verify(payload=qr.base64).result == "approved"


def test_an_authorization_id_with_another_qr_is_a_duplicate(sides: Sides, pan: str) -> None:
    one, other = (sides.wallet.request_qr(pan=pan) for _ in range(2))
    name = new_authorization_id()
    assert sides.authoriser.verify(payload=one.base64, authorization_id=name).result == "approved"
    with pytest.raises(Refused) as refused:
        sides.authoriser.verify(payload=other.base64, authorization_id=name)
    assert refused.value.rslt_cd == codes.DUPLICATE_TRACE
    assert sides.issued.qr(other.mapping_value).state == "issued"


def test_an_authorization_id_that_could_not_be_read_stays_free(sides: Sides, pan: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    name = new_authorization_id()
    with pytest.raises(Refused) as refused:
        sides.authoriser.verify(payload="not a payload", authorization_id=name)
    assert refused.value.rslt_cd == codes.MEMBER_WRONG
    assert sides.authoriser.verify(payload=qr.base64, authorization_id=name).result == "approved"


def forged(payload: str, tag: str) -> str:
    """Change the last bit of a tag's value."""
    binary = bytearray(base64.b64decode(payload))
    found = next(item for item in cpm.decode(payload).walk() if item.tag == tag)
    binary[found.value_offset + len(found.value) - 1] ^= 1
    return base64.b64encode(bytes(binary)).decode()


@pytest.mark.parametrize("tag", ["4F", "5F34", "9F26", "9F27", "9F10", "82", "9F37"])
def test_a_qr_forged_in_any_value_is_declined_and_stays_unused(sides: Sides, pan: str, tag: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    before = sides.forgeries()
    declined = sides.authoriser.verify(payload=forged(qr.base64, tag))
    assert isinstance(declined, v1.Declined)
    assert (declined.rslt_cd, declined.status) == (codes.CRYPTOGRAM_WRONG, 422)
    assert tag in declined.detail  # the sandbox names it
    assert [declined.token_id, declined.trace_no, declined.qr_data_mapp_val, declined.atc] == [
        "",
        "",
        "",
        None,
    ]
    assert sides.forgeries() == before + 1
    assert sides.authoriser.verify(payload=qr.base64).result == "approved"


def test_track_2_forged_in_expiry_or_discretionary_data_is_declined(sides: Sides, pan: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    right = track2(qr)
    for place in (right.index("=") + 2, len(right) - 1):
        digit = str((int(right[place]) + 1) % 10)
        wrong = right[:place] + digit + right[place + 1 :]
        declined = sides.authoriser.verify(track2=wrong, icc_data=de55(qr))
        assert declined.rslt_cd == codes.CRYPTOGRAM_WRONG


@pytest.mark.parametrize("place", range(16))
def test_a_pan_with_any_digit_changed_is_no_issue_of_ours(sides: Sides, pan: str, place: int) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    digit = str((int(pan[place]) + 1) % 10)
    wrong = track2(qr).replace(pan, pan[:place] + digit + pan[place + 1 :])
    declined = sides.authoriser.verify(track2=wrong, icc_data=de55(qr))
    assert declined.rslt_cd == codes.NO_QR


def test_a_counter_that_was_never_issued_is_refused_and_counted(sides: Sides, pan: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    before = sides.forgeries()
    declined = sides.authoriser.verify(payload=forged(qr.base64, "9F36"))  # 1 becomes 0
    assert isinstance(declined, v1.Declined)
    assert (declined.rslt_cd, declined.status) == (codes.NO_QR, 404)
    assert not declined.token_id
    ahead = de55(qr).replace("9F36020001", "9F36020007")
    assert sides.authoriser.verify(track2=track2(qr), icc_data=ahead).rslt_cd == codes.NO_QR
    assert sides.forgeries() == before + 2


def test_a_repeated_forgery_counts_once(sides: Sides, pan: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    before = sides.forgeries()
    name = new_authorization_id()
    for _ in range(3):
        sides.authoriser.verify(payload=forged(qr.base64, "9F26"), authorization_id=name)
    assert sides.forgeries() == before + 1


def test_another_qrs_cryptogram_does_not_fit(sides: Sides, pan: str) -> None:
    one, other = (sides.wallet.request_qr(pan=pan) for _ in range(2))
    stolen = cpm.decode(other.base64).applications[0].cryptogram
    mine = cpm.decode(one.base64).applications[0].cryptogram
    mixed = base64.b64decode(one.base64).replace(mine, stolen)
    assert sides.authoriser.verify(payload=mixed.hex()).rslt_cd == codes.CRYPTOGRAM_WRONG


def test_bytes_added_to_a_payload_are_declined(sides: Sides, pan: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    longer = base64.b64decode(qr.base64) + bytes.fromhex("DF0101AA")
    assert sides.authoriser.verify(payload=longer.hex()).rslt_cd == codes.CRYPTOGRAM_WRONG


def test_a_wrong_cryptogram_is_told_before_any_state(sides: Sides, pan: str) -> None:
    """A guesser learns neither that a QR was used nor that it is late."""
    qr = sides.wallet.request_qr(pan=pan)
    sides.authoriser.verify(payload=qr.base64)
    late = sides.authoriser_at(qr.issued_at + timedelta(hours=2))
    for authoriser in (sides.authoriser, late):
        declined = authoriser.verify(payload=forged(qr.base64, "9F26"))
        assert declined.rslt_cd == codes.CRYPTOGRAM_WRONG
        assert not declined.late_by_s
    late.close()


@pytest.mark.parametrize(
    ("after_s", "result", "rslt_cd", "late_by_s"),
    [
        (-301, "approved", "0000", None),  # a clock that lags behind the issuing gateway's harms nobody
        (0, "approved", "0000", None),
        (179, "approved", "0000", None),
        (180, "approved", "0000", None),
        (181, "declined", "5004", 1),
        (240, "declined", "5004", 60),
    ],
)
def test_a_qr_lives_for_180_seconds_to_the_second(
    sides: Sides, pan: str, after_s: int, result: str, rslt_cd: str, late_by_s: int | None
) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    issued_at = sides.issued.qr(qr.mapping_value).issued_at
    with sides.authoriser_at(issued_at + timedelta(seconds=after_s)) as authoriser:
        verdict = authoriser.verify(payload=qr.base64)
    assert (verdict.result, verdict.rslt_cd) == (result, rslt_cd)
    if late_by_s is not None:
        assert isinstance(verdict, v1.Declined)
        assert verdict.late_by_s == late_by_s
        assert f"{late_by_s} s" in verdict.detail
        assert verdict.status == 410


def test_a_token_that_expired_since_the_issue_does_not_pay(sides: Sides) -> None:
    now = datetime.now(KOREA)
    month_end = (now.replace(day=1) + timedelta(days=32)).replace(
        day=1, hour=0, minute=0, second=0
    ) - timedelta(seconds=1)
    order = {"requestor_id": REQUESTOR_ID, "expiry": now.strftime("%y%m")}
    pan = sides.operator.provision_token(**order).pan
    with (
        sides.running.wallet(clock=month_end.timestamp) as wallet,
        sides.issued_at(month_end) as issued,
        sides.authoriser_at(month_end + timedelta(seconds=10)) as authoriser,
    ):
        (qr,) = issued.request_batch(wallet.gateway, [wallet.prepare(pan=pan)])
        assert isinstance(qr, QrData)
        declined = authoriser.verify(payload=qr.base64)
    assert declined.rslt_cd == codes.TOKEN_EXPIRED


@pytest.mark.parametrize(("change", "rslt_cd", "status"), [("suspend", "4002", 409), ("delete", "4003", 410)])
def test_a_suspended_or_deleted_tokens_live_qr_does_not_verify(
    sides: Sides, pan: str, change: str, rslt_cd: str, status: int
) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    token_id = sides.operator.find_token(pan).token_id
    getattr(sides.operator, f"{change}_token")(token_id)
    declined = sides.authoriser.verify(payload=qr.base64)
    assert isinstance(declined, v1.Declined)
    assert (declined.rslt_cd, declined.status) == (rslt_cd, status)
    assert declined.token_id == token_id


def test_a_revoked_qr_does_not_verify(sides: Sides, pan: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    sides.issued.revoke(qr.mapping_value)
    assert sides.authoriser.verify(payload=qr.base64).rslt_cd == codes.QR_REVOKED


def test_a_suspended_requestors_live_qr_does_not_verify(sides: Sides, pan: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    sides.operator.suspend_requestor("42000000066")
    try:
        declined = sides.authoriser.verify(payload=qr.base64)
        with pytest.raises(Refused) as refused:
            sides.issued.qr(qr.mapping_value)
    finally:
        sides.operator.resume_requestor("42000000066")
    assert declined.rslt_cd == codes.REQUESTOR_SUSPENDED
    assert refused.value.rslt_cd == codes.REQUESTOR_SUSPENDED
    assert sides.authoriser.verify(payload=qr.base64).result == "approved"


@pytest.mark.parametrize("tag", ["9F26", "9F36", "9F37", "9F10", "82"])
def test_icc_data_without_what_proves_the_qr_can_not_be_read(sides: Sides, pan: str, tag: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    objects = [item for item in tlv.parse(bytes.fromhex(de55(qr))) if item.tag != tag]
    with pytest.raises(Refused) as refused:
        sides.authoriser.verify(track2=track2(qr), icc_data=tlv.build(objects).hex())
    assert refused.value.rslt_cd == codes.MEMBER_WRONG
    assert tag in refused.value.rslt_msg


@pytest.mark.parametrize(
    ("body", "rslt_cd", "named"),
    [
        ({"authorization_id": "a"}, "1002", "payload"),
        ({"authorization_id": "a", "track2": "5350206900000066=3012601"}, "1002", "icc_data"),
        ({"authorization_id": "a", "payload": "x", "track2": "y"}, "1003", "not both"),
        ({"authorization_id": "a", "payload": "x", "icc_data": "y"}, "1003", "not both"),
        ({"payload": "hQVDUFYwMQ=="}, "1002", "authorization_id"),
        ({"authorization_id": "", "payload": "x"}, "1003", "authorization_id"),
        ({"authorization_id": "a b", "payload": "x"}, "1003", "authorization_id"),
        ({"authorization_id": "a\n", "payload": "x"}, "1003", "authorization_id"),
        ({"authorization_id": "a" * 65, "payload": "x"}, "1003", "authorization_id"),
        ({"authorization_id": 7, "payload": "x"}, "1003", "authorization_id"),
        ({"authorization_id": "a", "payload": "hQVDUFYwMQ=="}, "1003", "61"),
        ({"authorization_id": "a", "payload": "8505435056303261024F00"}, "1003", "CPV01"),
        ({"authorization_id": "a", "payload": "A" * 2049}, "1003", "payload"),
        ({"authorization_id": "a", "payload": None}, "1003", "payload"),
        ({"authorization_id": "a", "track2": "x", "icc_data": "82020000"}, "1003", "track2"),
        (
            {"authorization_id": "a", "track2": "5350206900000066=3012601", "icc_data": "9F2"},
            "1003",
            "icc_data",
        ),
        (
            {"authorization_id": "a", "track2": "5350206900000066=3012601", "icc_data": "8202"},
            "1003",
            "icc_data",
        ),
        (
            {"authorization_id": "a", "track2": "5350206900000066=3012601", "icc_data": "8202000082020000"},
            "1003",
            "twice",
        ),
        ({"authorization_id": "a", "payload": "x", "amount": 5}, "1003", "amount"),
    ],
)
def test_what_can_not_be_read_is_named(sides: Sides, body: object, rslt_cd: str, named: str) -> None:
    response = sides.post("/v1/verifications", body)
    problem = response.json()
    assert response.status_code == 400
    assert problem["rslt_cd"] == rslt_cd
    assert named in problem["detail"]
    assert "result" not in problem
    assert "5350206900000066" not in response.text


@pytest.mark.parametrize("side", ["requestor", "operator"])
def test_only_an_authoriser_may_ask(sides: Sides, side: str) -> None:
    response = sides.post("/v1/verifications", {"authorization_id": "a", "payload": "x"}, side)
    assert (response.status_code, response.json()["rslt_cd"]) == (403, codes.NOT_YOURS)


def test_a_code_that_the_sandbox_was_asked_for_uses_nothing_up(sides: Sides, pan: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    body = {"authorization_id": new_authorization_id(), "payload": qr.base64}
    wished = sides.post("/v1/verifications", body, **{"X-Sandbox-Result": "9003"})
    assert (wished.status_code, wished.json()["rslt_cd"]) == (504, "9003")
    assert sides.post("/v1/verifications", body).json()["result"] == "approved"
