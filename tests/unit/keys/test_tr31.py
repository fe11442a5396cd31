"""psec, an implementation of somebody else, is the oracle: what it wraps we read, what we wrap it reads."""

from __future__ import annotations

import psec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.keys import made

from cpmqr.errors import ConfigError
from cpmqr.keys.tr31 import BLOCK_CHARS_MAX, read_block, write_block
from cpmqr.model import KeyPurpose, Secret

# psec reaches TDES by a name, and with 16-byte keys, that cryptography is about to drop.
pytestmark = [
    pytest.mark.filterwarnings("ignore:TripleDES has been moved"),
    pytest.mark.filterwarnings("ignore:Two-key TripleDES"),
]

CASES = [
    (KeyPurpose.ISSUER_MASTER, "tdes-112", 16, 16),
    (KeyPurpose.ISSUER_MASTER, "tdes-112", 16, 24),
    (KeyPurpose.ISSUER_MASTER, "aes-128", 16, 16),
    (KeyPurpose.ISSUER_MASTER, "aes-128", 16, 24),
    (KeyPurpose.ISSUER_MASTER, "aes-256", 32, 32),
    (KeyPurpose.TRANSPORT, "aes-256", 32, 32),
    (KeyPurpose.HASH_CRC, "hmac-sha256", 32, 32),
    (KeyPurpose.WEBHOOK, "hmac-sha256", 32, 32),
]
USES = {
    KeyPurpose.ISSUER_MASTER: ("E0", "X"),
    KeyPurpose.TRANSPORT: ("D0", "B"),
    KeyPurpose.HASH_CRC: ("M7", "C"),
    KeyPurpose.WEBHOOK: ("M7", "C"),
}


def protection_key(length: int) -> Secret:
    return Secret(made.key_bytes("kbpk", length))


@pytest.mark.parametrize(("purpose", "algorithm", "length", "protection"), CASES)
def test_psec_reads_what_we_write(purpose: KeyPurpose, algorithm: str, length: int, protection: int) -> None:
    key = made.key_bytes("key", length)
    block = write_block(Secret(key), protection_key(protection), purpose, algorithm)
    header, read = psec.tr31.unwrap(protection_key(protection).reveal(), block)
    assert read == key
    assert (header.key_usage, header.mode_of_use, header.exportability) == (*USES[purpose], "N")


@pytest.mark.parametrize(("purpose", "algorithm", "length", "protection"), CASES)
@pytest.mark.parametrize("optional", [{}, {"KS": "00604B120F9292800000"}, {"KS": "0" * 20, "TS": "X" * 300}])
def test_we_read_what_psec_writes(
    purpose: KeyPurpose, algorithm: str, length: int, protection: int, optional: dict[str, str]
) -> None:
    key = made.key_bytes("key", length)
    letter = {"tdes": "T", "aes-": "A", "hmac": "H"}[algorithm[:4]]
    header = psec.tr31.Header(
        "B" if letter == "T" else "D", USES[purpose][0], letter, USES[purpose][1], "00", "E"
    )
    for name, value in optional.items():
        header.blocks[name] = value
    block = psec.tr31.wrap(protection_key(protection).reveal(), header, key)
    assert read_block(f" {block}\n", protection_key(protection), purpose, algorithm).reveal() == key


def test_we_open_the_standard_s_own_example_and_refuse_its_usage() -> None:
    """TR-31:2018 A.7.4: a PIN encryption key. That the usage is what stops us shows that the MAC was right."""
    block = (
        "D0112P0AE00E0000B82679114F470F540165EDFBF7E250FCEA43F810D215F8D2"
        "07E2E417C07156A27E8E31DA05F7425509593D03A457DC34"
    )
    key = Secret(bytes.fromhex("88E1AB2A2E3DD38C1FA039A536500CC8A87AB9D62DC92C01058FA79F44657DE6"))
    with pytest.raises(ConfigError, match="key usage is P0"):
        read_block(block, key, KeyPurpose.TRANSPORT, "aes-128")


def test_a_block_for_another_use_or_algorithm_is_refused() -> None:
    block = write_block(Secret(made.key_bytes("key")), protection_key(32), KeyPurpose.TRANSPORT, "aes-256")
    with pytest.raises(ConfigError, match="usage is D0; that of a hash-crc key is M7"):
        read_block(block, protection_key(32), KeyPurpose.HASH_CRC, "hmac-sha256")
    with pytest.raises(ConfigError, match="aes-128 takes a key of 16 bytes"):
        read_block(block, protection_key(32), KeyPurpose.TRANSPORT, "aes-128")
    with pytest.raises(ConfigError, match="TR-31 has no letter for seed-128"):
        read_block(block, protection_key(32), KeyPurpose.TRANSPORT, "seed-128")


@pytest.mark.parametrize("protection", [16, 32])
def test_no_changed_character_and_no_truncation_goes_unseen(protection: int) -> None:
    purpose, algorithm = (
        (KeyPurpose.ISSUER_MASTER, "tdes-112") if protection == 16 else (KeyPurpose.TRANSPORT, "aes-256")
    )
    key = Secret(made.key_bytes("key", protection))
    block = write_block(key, protection_key(protection), purpose, algorithm)
    for place, character in enumerate(block):
        changed = block[:place] + ("1" if character == "0" else "0") + block[place + 1 :]
        for broken in (changed, block[:place], block[:place] + block[place + 1 :]):
            with pytest.raises(ConfigError):
                read_block(broken, protection_key(protection), purpose, algorithm)


def test_another_protection_key_gets_the_one_answer() -> None:
    block = write_block(Secret(made.key_bytes("key")), protection_key(32), KeyPurpose.TRANSPORT, "aes-256")
    with pytest.raises(ConfigError, match="does not open"):
        read_block(block, Secret(made.key_bytes("other")), KeyPurpose.TRANSPORT, "aes-256")


@given(text=st.text(max_size=200) | st.from_regex(r"[BD][0-9]{4}D0AB00N[0-9]{4}[0-9A-F]*", fullmatch=True))
def test_no_text_at_all_fails_in_another_way(text: str) -> None:
    with pytest.raises(ConfigError):
        read_block(text, protection_key(32), KeyPurpose.TRANSPORT, "aes-256")


def test_versions_that_are_withdrawn_and_endless_blocks_are_refused() -> None:
    for version in "ACE":
        with pytest.raises(ConfigError, match="version B"):
            read_block(version + "0" * 100, protection_key(16), KeyPurpose.TRANSPORT, "aes-256")
    with pytest.raises(ConfigError, match=str(BLOCK_CHARS_MAX)):
        read_block("D" * (BLOCK_CHARS_MAX + 1), protection_key(32), KeyPurpose.TRANSPORT, "aes-256")


def test_no_key_leaves_under_a_weaker_one_and_none_of_the_gateway_s_own_leaves_at_all() -> None:
    with pytest.raises(ConfigError, match="weaker"):
        write_block(Secret(made.key_bytes("key")), protection_key(16), KeyPurpose.TRANSPORT, "aes-256")
    for purpose, algorithm in made.OWN:
        with pytest.raises(ConfigError, match="this gateway's own"):
            write_block(Secret(made.key_bytes("key")), protection_key(32), purpose, algorithm)


@pytest.mark.parametrize("length", [0, 8, 15, 40])
def test_a_protection_key_of_a_wrong_length_is_refused(length: int) -> None:
    block = write_block(Secret(made.key_bytes("key")), protection_key(32), KeyPurpose.TRANSPORT, "aes-256")
    with pytest.raises(ConfigError, match="16 or 24 or 32 bytes"):
        read_block(block, Secret(bytes(length)), KeyPurpose.TRANSPORT, "aes-256")
