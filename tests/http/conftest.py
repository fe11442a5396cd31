"""One real gateway for all tests of this folder; when they are done, its output is searched for secrets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.process import Process, serving


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """`cpmqr serve --sandbox`, on a free port."""
    with serving(tmp_path_factory.mktemp("served") / "var") as process:
        yield process
        assert process.terminate() == 0
        assert process.secrets_in_log() == set()
        assert "Traceback" not in process.log.read_text()
