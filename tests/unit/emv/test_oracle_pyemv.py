"""pyemv as an oracle: another implementation of EMV Book 2, equal on random cases.

pyemv hands `cryptography` short TDES keys, which warns; only here, and only of that, are warnings let pass.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from cpmqr.crypto.blocks import mac_algorithm_3, odd_parity, tdes_ecb
from cpmqr.emv import derive
from cpmqr.emv.cryptogram import TDES_OPTION_B, arpc_method_1, arpc_method_2, generate_arqc
from cpmqr.emv.profile import CardData, Profile

pyemv: Any = pytest.importorskip("pyemv")

pytestmark = pytest.mark.filterwarnings("ignore:.*TripleDES.*")

CASES = 3_000
rng = random.Random("cpmqr and pyemv")


def some_card() -> tuple[bytes, str, str, int]:
    pan = "".join(rng.choices("0123456789", k=rng.randint(13, 19)))
    return rng.randbytes(16), pan, f"{rng.randrange(100):02}", rng.randrange(65536)


def test_arqcs_are_those_of_pyemv_by_option_a_and_b() -> None:
    for _ in range(CASES):
        key, pan, psn, atc = some_card()
        data = rng.randbytes(rng.randrange(64))
        diversifier = atc.to_bytes(2, "big") + bytes(6)
        for derived, ours in (
            (pyemv.kd.derive_icc_mk_a(key, pan, psn), generate_arqc(tdes_ecb(key), pan, psn, atc, data)),
            (
                pyemv.kd.derive_icc_mk_b(key, pan, psn),
                generate_arqc(tdes_ecb(key), pan, psn, atc, data, TDES_OPTION_B),
            ),
        ):
            session_key = pyemv.kd.derive_common_sk(derived, diversifier)
            assert pyemv.ac.generate_ac(session_key, data) == ours


def test_derived_keys_are_those_of_pyemv() -> None:
    for _ in range(CASES // 3):
        key, pan, psn, atc = some_card()
        card_key = derive.icc_master_key_b(tdes_ecb(key), pan, psn)
        assert odd_parity(card_key) == pyemv.kd.derive_icc_mk_b(key, pan, psn)
        session_key = derive.session_key_tdes(tdes_ecb(key), atc)
        assert odd_parity(session_key) == pyemv.kd.derive_common_sk(key, atc.to_bytes(2, "big") + bytes(6))


@pytest.mark.parametrize("padding", [1, 2])
def test_macs_are_those_of_pyemv(padding: int) -> None:
    for _ in range(CASES // 3):
        key, data = rng.randbytes(16), rng.randbytes(rng.randrange(1, 80))
        assert mac_algorithm_3(key, data, padding=padding) == pyemv.mac.mac_iso9797_3(
            key[:8], key[8:], data, padding, 8
        )


def test_arpcs_are_those_of_pyemv() -> None:
    for _ in range(CASES // 3):
        key, arqc, code = rng.randbytes(16), rng.randbytes(8), rng.randbytes(2)
        update, proprietary = rng.randbytes(4), rng.randbytes(rng.randrange(9))
        assert arpc_method_1(key, arqc, code) == pyemv.ac.generate_arpc_1(key, arqc, code)
        assert arpc_method_2(key, arqc, update, proprietary) == pyemv.ac.generate_arpc_2(
            key, arqc, update, proprietary
        )


def test_issued_cryptograms_are_those_of_pyemv() -> None:
    profile = Profile.load("bc-domestic").compile()
    for _ in range(CASES // 3):
        key, pan, psn, atc = some_card()
        card = CardData(pan, psn, "3012", "601", "0" * rng.randrange(30 - len(pan)))
        unpredictable_number, dki = rng.randbytes(4), f"{rng.randrange(256):02X}"
        payload = profile.issue(tdes_ecb(key), card, atc, unpredictable_number, "20261123090000", dki)
        iad = bytes.fromhex(f"{dki}09A00008000000000000002026112309000001")
        data = unpredictable_number + bytes(2) + atc.to_bytes(2, "big") + iad
        card_key = pyemv.kd.derive_icc_mk_a(key, pan, psn)
        session_key = pyemv.kd.derive_common_sk(card_key, atc.to_bytes(2, "big") + bytes(6))
        assert b"\x9f\x26\x08" + pyemv.ac.generate_ac(session_key, data) in payload
