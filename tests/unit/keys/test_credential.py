"""A key-encryption key as systemd's LoadCredential hands it over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cpmqr.errors import ConfigError
from cpmqr.keys.software import SoftwareKek

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of root's")


@pytest.fixture
def kek(tmp_path: Path) -> Path:
    path = tmp_path / "kek"
    SoftwareKek.create(path)
    return path


@as_root
def test_a_file_of_roots_that_root_s_group_may_read_is_taken(kek: Path) -> None:
    kek.chmod(0o440)
    SoftwareKek.from_file(kek)


@as_root
@pytest.mark.parametrize(("uid", "gid"), [(0, 65_534), (65_534, 0)])
def test_the_same_mode_with_another_owner_or_group_is_refused(kek: Path, uid: int, gid: int) -> None:
    kek.chmod(0o440)
    os.chown(kek, uid, gid)
    with pytest.raises(ConfigError, match="can be read or written by others"):
        SoftwareKek.from_file(kek)
