from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cpmqr.errors import ConfigError
from cpmqr.keys.software import SoftwareKek

DIGITS = "00112233445566778899aabbccddeeff" * 2


@pytest.fixture
def kek_file(tmp_path: Path) -> Callable[[str], Path]:
    def make(content: str) -> Path:
        path = tmp_path / "kek.key"
        path.write_bytes(content.encode())
        path.chmod(0o600)
        return path

    return make


def test_create_makes_a_file_that_from_file_reads(tmp_path: Path) -> None:
    made = SoftwareKek.create(tmp_path / "kek.key")
    assert SoftwareKek.from_file(tmp_path / "kek.key").kek_id == made.kek_id
    assert (tmp_path / "kek.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["kek.key"]


def test_create_makes_another_key_each_time(tmp_path: Path) -> None:
    assert SoftwareKek.create(tmp_path / "a").kek_id != SoftwareKek.create(tmp_path / "b").kek_id


def test_create_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "kek.key"
    SoftwareKek.create(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="never overwritten"):
        SoftwareKek.create(path)
    assert path.read_bytes() == before


def test_create_says_so_where_it_can_not_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be written: No such file or directory"):
        SoftwareKek.create(tmp_path / "nowhere" / "kek.key")


def test_from_file_takes_digits_in_either_case_and_a_line_end(kek_file: Callable[[str], Path]) -> None:
    lower = SoftwareKek.from_file(kek_file(DIGITS)).kek_id
    assert SoftwareKek.from_file(kek_file(DIGITS.upper() + "\r\n")).kek_id == lower


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666, 0o610, 0o601])
def test_from_file_refuses_a_file_that_others_can_use_and_says_the_chmod(
    kek_file: Callable[[str], Path], mode: int
) -> None:
    path = kek_file(DIGITS)
    path.chmod(mode)
    with pytest.raises(ConfigError) as refusal:
        SoftwareKek.from_file(path)
    assert f"chmod 600 {path}" in str(refusal.value)
    assert f"{mode:04o}" in str(refusal.value)


def test_from_file_takes_a_file_that_even_its_owner_can_only_read(kek_file: Callable[[str], Path]) -> None:
    path = kek_file(DIGITS)
    path.chmod(0o400)
    assert len(SoftwareKek.from_file(path).kek_id) == 6


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        DIGITS[:-1],
        DIGITS + "0",
        DIGITS[:-1] + "g",
        DIGITS[:32] + " " + DIGITS[32:-1],
        DIGITS + "\n" + DIGITS,
    ],
)
def test_from_file_refuses_what_is_not_64_hex_digits_and_repeats_none_of_it(
    kek_file: Callable[[str], Path], content: str
) -> None:
    with pytest.raises(ConfigError, match="64 hex digits") as refusal:
        SoftwareKek.from_file(kek_file(content))
    assert DIGITS[:8] not in str(refusal.value)


def test_from_file_refuses_a_long_file(kek_file: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match="longer than 256 bytes"):
        SoftwareKek.from_file(kek_file(" " * 257))


def test_from_file_refuses_a_missing_file_a_folder_and_no_path(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, "a\0b"):
        with pytest.raises(ConfigError):
            SoftwareKek.from_file(path)


def test_from_file_refuses_a_device() -> None:
    with pytest.raises(ConfigError, match="is not a file"):
        SoftwareKek.from_file("/dev/null")


def test_an_interrupted_create_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(ConfigError, match="No space left"):
        SoftwareKek.create(tmp_path / "kek.key")
    assert list(tmp_path.iterdir()) == []
