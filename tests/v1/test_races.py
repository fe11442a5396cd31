"""Two tills at once, and a gateway that dies: a QR pays once, and an authorization_id keeps its answer."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.process import serving

from cpmqr.client import Wallet
from cpmqr.client.authoriser import AsyncAuthoriser, Verdict
from cpmqr.errors import CpmqrError

from .conftest import Sides

TILLS = 50


def test_of_50_verifications_of_one_qr_exactly_one_approves(sides: Sides, pan: str) -> None:
    qr = sides.wallet.request_qr(pan=pan)

    async def race() -> list[Verdict]:
        async with AsyncAuthoriser.from_sandbox(sides.running.sandbox_file) as authoriser:
            asked = [
                authoriser.verify(payload=qr.base64, authorization_id=f"race-{qr.trace_no}-{till}")
                for till in range(TILLS)
                for _ in range(2)  # each till asks twice at the same time
            ]
            return await asyncio.gather(*asked)

    verdicts = asyncio.run(race())
    assert verdicts[0::2] == verdicts[1::2]
    assert Counter(verdict.rslt_cd for verdict in verdicts[0::2]) == {"0000": 1, "5005": TILLS - 1}


def test_a_verification_and_a_revocation_at_once_never_both_win(sides: Sides, pan: str) -> None:
    for _ in range(10):
        qr = sides.wallet.request_qr(pan=pan)

        def revoke(handle: str = qr.mapping_value) -> str:
            try:
                return sides.issued.revoke(handle).state
            except CpmqrError as error:
                return str(error)[:4]

        with ThreadPoolExecutor(2) as pool:
            revoked = pool.submit(revoke)
            verified = pool.submit(sides.authoriser.verify, payload=qr.base64)
            outcome = verified.result().rslt_cd, revoked.result()
        assert outcome in {("0000", "5005"), ("5006", "revoked")}


class Till(threading.Thread):
    """Asks one question after the other until the gateway is gone; None where the answer was lost."""

    def __init__(
        self, url: str, credential: str, asked: list[dict[str, str]], enough: threading.Event
    ) -> None:
        super().__init__()
        self._url, self._credential, self._asked, self._enough = url, credential, asked, enough
        self.answers: dict[str, bytes] = {}

    def run(self) -> None:
        headers = {"Authorization": self._credential}
        with httpx.Client(base_url=self._url, headers=headers, timeout=5, trust_env=False) as http:
            for body in self._asked:
                try:
                    answer = http.post("/v1/verifications", json=body).content
                except httpx.HTTPError:
                    return
                self.answers[body["authorization_id"]] = answer
                if len(self.answers) > 5:
                    self._enough.set()


def ask_all(url: str, credential: str, asked: list[dict[str, str]], enough: threading.Event) -> list[Till]:
    tills = [Till(url, credential, asked[till::4], enough) for till in range(4)]
    for till in tills:
        till.start()
    return tills


@pytest.mark.slow
def test_a_killed_gateway_answers_each_authorization_id_as_before(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data) as gateway:
        url = f"http://{gateway.host}:{gateway.port}"
        file = json.loads((data / "sandbox.json").read_text())
        credential = file["authoriser"]["authorization"]
        with Wallet.from_sandbox(data / "sandbox.json") as wallet:
            qrs = [wallet.request_qr(pan=file["tokens"][0]["pan"]).base64 for _ in range(100)]
        asked = [
            {"authorization_id": f"crash-{number}-{till}", "payload": qr}
            for number, qr in enumerate(qrs)
            for till in range(2)
        ]
        enough = threading.Event()
        tills = ask_all(url, credential, asked, enough)
        assert enough.wait(20)
        gateway.kill()
        before: dict[str, bytes] = {}
        for till in tills:
            till.join()
            before |= till.answers
    with serving(data) as gateway:
        after: dict[str, bytes] = {}
        for till in ask_all(f"http://{gateway.host}:{gateway.port}", credential, asked, enough):
            till.join()
            after |= till.answers
    gateway.secrets |= set(qrs)
    assert gateway.secrets_in_log() == set()
    assert 0 < len(before) < len(asked), "killed before the first or after the last answer: it shows nothing"
    assert {name: after[name] for name in before} == before
    for number in range(len(qrs)):
        codes = {json.loads(after[f"crash-{number}-{till}"])["rslt_cd"] for till in range(2)}
        assert codes == {"0000", "5005"}
