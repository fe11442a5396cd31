"""The whole life of a QR on one machine, told once from its beginning to its end. Read it first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from cpmqr.cli.main import main
from cpmqr.client.webhook import read_notice
from cpmqr.emv import cpm
from cpmqr.emv.till import Till
from cpmqr.errors import Refused
from cpmqr.testing import gateway

from .conftest import REQUESTOR_ID, Sides
from .receiver import answer, receiving

BC_DOMESTIC = "D4100000014010"
# What the till adds of its own to the ICC data: amount, country, date.
TERMINAL = {"9F02": bytes.fromhex("000000012000"), "9F1A": b"\x04\x10", "9A": bytes.fromhex("261124")}


@pytest.fixture(scope="module")
def house() -> Iterator[Sides]:
    with gateway(webhooks__poll_s=0.05) as running:
        sides = Sides(running)
        yield sides
        sides.close()


@pytest.fixture
def cpmqr(house: Sides, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, object]]:
    """The operator's command, on the database of the running gateway."""

    def run(*arguments: str) -> dict[str, object]:
        capsys.readouterr()
        status = main([*arguments, "--data", str(house.running.sandbox_file.parent), "--json"])
        out = capsys.readouterr()
        assert status == 0, out.err
        printed: dict[str, object] = json.loads(out.out)
        return printed

    return run


def test_a_qr_from_its_token_to_the_audit(house: Sides, cpmqr: Callable[..., dict[str, object]]) -> None:
    operator, wallet, issued, authoriser = house.operator, house.wallet, house.issued, house.authoriser

    # The issuer's operator provisions a token, which stands for an account of its own.
    new = operator.provision_token(requestor_id=REQUESTOR_ID, expiry="3012", funding_ref="account-17")
    pan, token_id = new.pan, new.token_id

    with receiving(answer(200)) as wallets_server:
        cpmqr("requestor", "set", REQUESTOR_ID, "--webhook", wallets_server.url)
        operator.resume_requestor(
            "authoriser"
        )  # anything that changes the directory: it is read anew at once

        # The consumer opens the wallet, which asks for a QR and draws it.
        qr = wallet.request_qr(pan=pan)
        assert issued.qr(qr.mapping_value).state == "issued"

        # A till scans it, and makes an authorisation message of it.
        scan = Till([BC_DOMESTIC]).read(qr.base64)
        assert scan.track2 is not None
        message = {"track2": scan.track2.hex(), "icc_data": scan.de55(TERMINAL).hex()}

        # The issuer's authoriser asks whether the QR is ours, fresh and unused: it pays.
        verdict = authoriser.verify(**message, authorization_id="A-1")
        assert (verdict.result, verdict.rslt_cd) == ("approved", "0000")
        assert verdict.funding_ref == "account-17"
        assert verdict.trace_no == qr.trace_no

        # The answer was lost on its way: the same question gets the same answer. Another one does not pay again.
        assert authoriser.verify(**message, authorization_id="A-1") == verdict
        assert authoriser.verify(**message, authorization_id="A-2").rslt_cd == "5005"

        # The wallet sees it, and its server is told.
        assert issued.qr(qr.mapping_value).state == "used"
        headers, body = wallets_server.wait(1)[0]
        notice = read_notice(headers, body, secret=house.file["webhook"]["key_hex"])
        assert notice.data.qr_data_mapp_val == qr.mapping_value

    # The phone is lost: the token is suspended, and neither a new QR nor one that is out there pays.
    live = wallet.request_qr(pan=pan)
    operator.suspend_token(token_id)
    with pytest.raises(Refused) as refused:
        wallet.request_qr(pan=pan)
    assert refused.value.rslt_cd == "4002"
    assert authoriser.verify(payload=live.base64).rslt_cd == "4002"

    # It is found again.
    operator.resume_token(token_id)
    assert authoriser.verify(payload=live.base64).result == "approved"

    # The issuer's key is rotated: QRs of the old one still verify, new ones are made with the new one.
    old = wallet.request_qr(pan=pan)
    cpmqr("key", "rotate", "issuer-master", "--owner", "bc-domestic")
    operator.resume_requestor("authoriser")
    fresh = wallet.request_qr(pan=pan)
    assert key_index(old.base64) != key_index(fresh.base64)
    assert authoriser.verify(payload=old.base64).result == "approved"
    assert authoriser.verify(payload=fresh.base64).result == "approved"

    # The token is deleted, for good.
    operator.delete_token(token_id)
    with pytest.raises(Refused) as refused:
        wallet.request_qr(pan=pan)
    assert refused.value.rslt_cd == "4003"

    # All of it is in the audit, whose chain holds, and which has no PAN.
    lines = cpmqr("audit", "list", "--limit", "1000")["lines"]
    assert isinstance(lines, list)
    about = [line["action"] for line in lines if token_id in json.dumps(line)]
    assert [action.partition(".")[0] for action in about] == ["token"] * len(about)
    assert len(about) == 4  # provisioned, suspended, resumed, deleted
    assert any(line["action"].startswith("key.") and "bc-domestic" in json.dumps(line) for line in lines)
    assert pan not in json.dumps(lines)
    assert {line["actor"] for line in lines if token_id in json.dumps(line)} == {"operator"}
    cpmqr("audit", "verify")


def key_index(payload: str) -> int:
    """The first byte of the issuer application data."""
    return cpm.decode(payload).applications[0].transparent_values["9F10"][0]


@pytest.mark.slow
def test_keys_are_rotated_under_load_without_one_refused_request(
    house: Sides, cpmqr: Callable[..., dict[str, object]]
) -> None:
    pans = [house.new_pan() for _ in range(4)]
    finished = Event()
    outcomes: Counter[str] = Counter()

    def shop(pan: str) -> None:
        while not finished.wait(0.02):
            qr = house.wallet.request_qr(pan=pan)
            outcomes[house.authoriser.verify(payload=qr.base64).rslt_cd] += 1
            assert house.issued.qr(qr.mapping_value).state == "used"

    with ThreadPoolExecutor(len(pans)) as pool:
        shoppers = [pool.submit(shop, pan) for pan in pans]
        try:
            for purpose in ("issuer-master", "vault-pan", "mapping"):
                owner = ["--owner", "bc-domestic"] if purpose == "issuer-master" else []
                cpmqr("key", "rotate", purpose, *owner)
                house.operator.resume_requestor("authoriser")
            cpmqr("key", "reseal")
        finally:
            finished.set()
        for shopper in shoppers:
            shopper.result()
    assert set(outcomes) == {"0000"}
    assert outcomes.total() > 20
