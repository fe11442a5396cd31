"""The schemes behind CRYPTO_TYPE: worked examples, every byte tampered with, and one of another package."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.crypto import suites
from cpmqr.errors import ConfigError, UnsealError
from cpmqr.server.wiring import load_suites

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "contract.json").read_text("utf-8"))["seal"]
KEYED = ["aes-256-gcm", "aes-256-cbc", "seed-128-cbc"]
AAD = b"cpmqrdatareq|42000000066|00|T1"
PLAIN = b"5350206900000066|20261123090000|T1|"


def opener_of(name: str, fill: int = 7) -> suites.Opener:
    suite = suites.find_suite(name)
    return suite.opener(bytes([fill]) * suite.key_bytes)


def counting(count: int) -> bytes:
    return bytes(range(count))


@pytest.mark.parametrize("example", VECTORS, ids=lambda example: example["crypto_type"])
def test_a_suite_seals_and_unseals_the_examples(example: dict[str, Any]) -> None:
    suite = suites.find_suite(suites.DEFAULT_CRYPTO_TYPES[example["crypto_type"]])
    opener = suite.opener(bytes.fromhex(example.get("key_hex", "")))
    random = bytes.fromhex(example.get("nonce_hex") or example.get("iv_hex") or "")
    plaintext, aad = example["plaintext"].encode(), example.get("aad", "").encode()

    def entropy(count: int) -> bytes:
        assert count == len(random)
        return random

    sealed = opener.seal(plaintext, aad, entropy)
    assert base64.b64encode(sealed).decode() == example["enc_data"]
    assert opener.unseal(base64.b64decode(example["enc_data"]), aad) == plaintext


@pytest.mark.parametrize("name", ["none", *KEYED])
@given(plaintext=st.binary(max_size=70))
def test_what_is_sealed_unseals(name: str, plaintext: bytes) -> None:
    opener = opener_of(name)
    assert opener.unseal(opener.seal(plaintext, AAD, counting), AAD) == plaintext


def test_gcm_refuses_a_change_of_any_bit_any_truncation_another_key_and_another_aad() -> None:
    opener = opener_of("aes-256-gcm")
    sealed = opener.seal(PLAIN, AAD, counting)
    for place in range(len(sealed)):
        for bit in (0x01, 0x80):
            changed = bytearray(sealed)
            changed[place] ^= bit
            with pytest.raises(UnsealError):
                opener.unseal(bytes(changed), AAD)
    for length in range(len(sealed)):
        with pytest.raises(UnsealError):
            opener.unseal(sealed[:length], AAD)
    for other, blob, aad in (
        (opener_of("aes-256-gcm", 8), sealed, AAD),
        (opener, sealed, AAD + b" "),
        (opener, sealed, b""),
        (opener, sealed + b"\x00", AAD),
    ):
        with pytest.raises(UnsealError, match="GCM tag wrong"):
            other.unseal(blob, aad)


@pytest.mark.parametrize("name", ["aes-256-cbc", "seed-128-cbc"])
def test_cbc_refuses_every_length_that_is_no_iv_and_blocks_and_every_wrong_padding(name: str) -> None:
    opener = opener_of(name)
    sealed = opener.seal(PLAIN, AAD, counting)
    for length in range(len(sealed)):
        if length % 16 or length < 32:
            with pytest.raises(UnsealError, match="no 16-byte IV"):
                opener.unseal(sealed[:length], AAD)
    with pytest.raises(UnsealError, match="padding"):
        opener_of(name, 8).unseal(sealed, AAD)


@pytest.mark.parametrize("name", ["aes-256-cbc", "seed-128-cbc"])
def test_cbc_takes_exactly_the_paddings_of_pkcs7(name: str) -> None:
    opener = opener_of(name)

    def padded(block: bytes) -> bytes:
        """Seal a last block of one's own choice: a whole block is padded by another, which is cut off."""
        return opener.seal(block, b"", counting)[:32]

    for pad in range(1, 17):
        kept = bytes(range(100, 116 - pad))
        assert opener.unseal(padded(kept + bytes([pad]) * pad), b"") == kept
    for block in (bytes(16), b"\x11" * 16, b"\xff" * 16, bytes(14) + b"\x01\x02", b"\x0f" + b"\x10" * 15):
        with pytest.raises(UnsealError, match="padding"):
            opener.unseal(padded(block), b"")


def test_a_change_that_cbc_itself_lets_pass_is_what_hash_crc_is_for() -> None:
    for name in ("aes-256-cbc", "seed-128-cbc"):
        assert suites.find_suite(name).needs_hmac
    assert not suites.find_suite("aes-256-gcm").needs_hmac


def test_only_the_scheme_without_encryption_is_for_the_sandbox_alone() -> None:
    assert [suite.name for suite in suites.SUITES.values() if suite.sandbox_only] == ["none"]


@pytest.mark.parametrize("name", KEYED)
def test_two_seals_of_one_plaintext_differ(name: str) -> None:
    opener = opener_of(name)
    assert opener.seal(PLAIN, AAD, counting) != opener.seal(PLAIN, AAD, lambda count: bytes(count))


@pytest.mark.parametrize("name", ["none", *KEYED])
def test_a_key_of_another_length_is_refused_with_both_lengths(name: str) -> None:
    suite = suites.find_suite(name)
    for length in {0, 8, 15, 16, 17, 24, 31, 32, 33, 64} - {suite.key_bytes}:
        with pytest.raises(ConfigError, match=rf"key of {suite.key_bytes} bytes, not {length}"):
            suite.opener(bytes(length))


def test_an_unknown_scheme_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match="aes-256-cbc, aes-256-gcm, none, seed-128-cbc"):
        suites.find_suite("rot13")


def test_no_opener_prints_its_key() -> None:
    for name in KEYED:
        assert (b"\x07" * 16).hex() not in repr(opener_of(name))
        assert "070707" not in repr(opener_of(name))
        assert "\\x07" not in repr(opener_of(name))


PACKAGE = '''
from cpmqr.errors import UnsealError


class Reversed:
    """A scheme of another package: the bytes backwards, behind a mark."""

    name = "reversed"
    key_bytes = 4
    needs_hmac = True
    sandbox_only = False

    def opener(self, key):
        return self

    def seal(self, plaintext, aad, entropy):
        return b"R" + plaintext[::-1]

    def unseal(self, blob, aad):
        if not blob.startswith(b"R"):
            raise UnsealError("no mark")
        return blob[:0:-1]


suite = Reversed()
twin = type("Twin", (Reversed,), {"name": "aes-256-gcm"})()
'''


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed distribution with an entry point; `SUITES` is put back afterwards."""
    (tmp_path / "other_suites.py").write_text(PACKAGE)
    info = tmp_path / "other_suites-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-suites\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = dict(suites.SUITES)
    yield info / "entry_points.txt"
    suites.SUITES.clear()
    suites.SUITES.update(before)
    sys.modules.pop("other_suites", None)


def test_a_scheme_of_another_package_joins_by_its_entry_point(other_package: Path) -> None:
    other_package.write_text("[cpmqr.suites]\nreversed = other_suites:suite\n")
    load_suites()
    load_suites()  # a second gateway in the same process
    opener = suites.find_suite("reversed").opener(b"1234")
    assert opener.unseal(opener.seal(PLAIN, AAD, counting), AAD) == PLAIN
    with pytest.raises(UnsealError):
        opener.unseal(b"x", AAD)


def test_a_scheme_of_another_package_can_not_take_a_name_that_is_taken(other_package: Path) -> None:
    other_package.write_text("[cpmqr.suites]\ngcm = other_suites:twin\n")
    with pytest.raises(ConfigError, match="two schemes are called aes-256-gcm"):
        load_suites()
    assert opener_of("aes-256-gcm").unseal(opener_of("aes-256-gcm").seal(PLAIN, AAD, counting), AAD) == PLAIN


@pytest.mark.parametrize("target", ["other_suites:missing", "no_such_module:suite"])
def test_a_scheme_that_can_not_be_loaded_is_named(other_package: Path, target: str) -> None:
    other_package.write_text(f"[cpmqr.suites]\nbroken = {target}\n")
    with pytest.raises(ConfigError, match="scheme broken of"):
        load_suites()
