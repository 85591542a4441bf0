"""Fixtures of the tests of a backup of an engine."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.transport import host_for
from servers.transport.base import Host
from tests.dockers import backing
from tests.dockers.backing import Backup
from tests.dockers.conftest import image_in
from tests.support.bridged import Bridged, engines
from tests.support.sshd import Lab, local_target


# A module's: the next one may look for the engines of its machine, and must see its own alone.
@pytest.fixture(scope="module")
def backup_engine() -> Iterator[Bridged]:
    """An engine that no other tests use."""
    with engines("docker-s") as (engine,):
        image_in(engine)
        yield engine


@pytest.fixture
def engine(backup_engine: Bridged) -> Iterator[Bridged]:
    """The engine, with nothing in it but images, before and after."""
    backing.clear(backup_engine)
    yield backup_engine
    backing.clear(backup_engine)


@pytest.fixture(scope="session")
def here() -> Iterator[Host]:
    """This machine, as root."""
    lab = Lab.create()
    yield host_for(local_target(lab))
    lab.remove()


@pytest.fixture
def backup(here: Host, engine: Bridged) -> Iterator[Backup]:
    """A backup that goes whatever happens."""
    made = Backup(here, engine, uuid.uuid4().hex)
    yield made
    made.remove()
    made.is_gone()


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a blank and a quote in its name, on a filesystem with extended attributes."""
    path = Path(tempfile.mkdtemp(prefix="phpborg place'"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)
