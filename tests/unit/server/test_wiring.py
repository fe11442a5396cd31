"""What a gateway is made of, and what keeps it from being made."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.in_process import House, run
from tests.unit.server.test_app import Exchange

from cpmqr import startup
from cpmqr.errors import ConfigError, CpmqrError, ProfileError
from cpmqr.server import wiring
from cpmqr.server.settings import load

EMPTY = [{"type": "http.request", "body": b"", "more_body": False}]


async def get(house: House, path: str) -> tuple[int, bytes]:
    exchange = Exchange(house)
    exchange.method, exchange.path = "GET", path
    await exchange.play(EMPTY)
    return exchange.status, b"".join(message.get("body", b"") for message in exchange.messages[1:])


def test_a_gateway_is_ready_until_its_database_is_away(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        assert await get(house, "/readyz") == (200, b'{"status":"ready"}')
        await house.gateway.store.close()
        status, body = await get(house, "/readyz")
        assert status == 503
        assert b"ready" not in body
        assert (await get(house, "/healthz"))[0] == 200  # the process is well: restarting it would not help

    run(tmp_path, scenario)


def test_a_gateway_that_drains_is_not_ready(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        await house.gateway.stop()
        assert await get(house, "/readyz") == (503, b'{"status":"draining"}')

    run(tmp_path, scenario)


def test_stopping_answers_all_that_waits(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        asked = [asyncio.ensure_future(house.code()) for _ in range(300)]
        await asyncio.sleep(0)
        await house.gateway.stop()
        assert await asyncio.gather(*asked) == ["0000"] * 300

    run(tmp_path, scenario)


def test_a_queue_that_is_full_answers_9001_at_once_and_the_others_are_served(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        codes = await asyncio.gather(*[house.code() for _ in range(50)])
        assert codes.count("0000") == 10
        assert codes.count("9001") == 40
        assert {reply.retry_after_s for reply in house.replies if reply.rslt_cd == "9001"} == {1}
        assert await house.code() == "0000"

    run(tmp_path, scenario, storage__queue_max=10)


def test_dnf_dv_can_not_choose_a_profile_that_there_is_not() -> None:
    chosen = load(None, issuing__dnf_profiles={"2": "unionpay", "5": "visa"})
    with pytest.raises(ConfigError, match="5 is to choose 'visa'; there are bc-domestic, emvco"):
        wiring.load_profiles(chosen)


def test_a_profile_file_that_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("name = 5\n")
    for file in (path, tmp_path / "missing.toml"):
        with pytest.raises((ConfigError, ProfileError), match=file.name):
            wiring.load_profiles(load(None, issuing__profile_files=(str(file),)))


def test_an_unknown_scheme_in_the_table_of_crypto_types_keeps_a_gateway_from_being_made(
    tmp_path: Path,
) -> None:
    async def scenario(_: House) -> None:
        pytest.fail("it was made")

    with pytest.raises(ConfigError, match="no encryption scheme is called 'rot13'"):
        run(tmp_path, scenario, crypto_types={"01": "aes-256-gcm", "02": "rot13"})


def test_a_crypto_type_under_another_code_works_with_keys_of_that_code(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        assert await house.code(crypto_type="01") == "0000"
        assert await house.code(crypto_type="02") == "3001"

    run(tmp_path, scenario, crypto_types={"01": "aes-256-gcm"})


@pytest.mark.parametrize("sandbox", [True, False])
def test_a_folder_that_can_not_be_made_is_an_error_of_ours(tmp_path: Path, sandbox: bool) -> None:
    (tmp_path / "file").write_text("")
    chosen = load(None, sandbox=sandbox, storage__data=str(tmp_path / "file" / "var"))
    with pytest.raises(CpmqrError, match="file/var"):
        asyncio.run(startup.open_gateway(chosen))
