"""Real borg for the service lane: Debian's 1.2 and a built 1.4."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.borg.borg14 import borg14
from tests.borg.support import Bench


@pytest.fixture(params=["1.2", "1.4"])
def binary(request: pytest.FixtureRequest) -> str:
    """Each test that asks for it runs once for each version that we support."""
    if request.param == "1.4":
        return str(borg14())
    found = shutil.which("borg", path="/usr/bin")
    assert found, "install the package borgbackup"
    return found


@pytest.fixture
def bench(tmp_path: Path, binary: str) -> Bench:
    return Bench(tmp_path, binary)
