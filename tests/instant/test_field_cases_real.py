"""Field failures of Instant Recovery, each with the right end (cases 94, 101, 103 and 107)."""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from recovery.services import serving
from servers.errors import MountsHidden
from servers.transport import host_for
from tests.instant.conftest import PASSPHRASE, ROWS
from tests.instant.test_product_real import look, mysql, place, psql
from tests.instant.test_verb_real import left, sql
from tests.lab.engine import Engine
from tests.support import mariadb, own_image, postgresql
from tests.support.sshd import local_target

__all__ = ["place"]
pytestmark = pytest.mark.real
_STRANGER = 4321


@pytest.fixture(scope="module")
def repository(place: Path) -> Path:
    """A cluster of an account that no image knows, and a server of MariaDB; both were shut down."""
    path = place / "repository"
    env = {"PATH": "/usr/bin:/bin", "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(place / "borg")}
    subprocess.run(["borg", "init", "-e", "repokey-blake2", str(path)], check=True, env=env, capture_output=True)
    with postgresql.running(place / "pg", place / "s") as cluster:
        cluster.sql(f"CREATE TABLE kettle AS SELECT i AS id FROM generate_series(1, {ROWS}) i")
    with mariadb.running(place / "my", place / "m") as server:
        server.sql(
            "CREATE DATABASE shop; CREATE TABLE shop.kettle (id INT PRIMARY KEY); INSERT INTO shop.kettle VALUES (7)"
        )
    subprocess.run(["chown", "-R", f"{_STRANGER}:{_STRANGER}", str(place / "pg")], check=True)
    for name in ("pg", "my"):
        subprocess.run(["borg", "create", f"{path}::{name}", name], check=True, env=env, capture_output=True, cwd=place)
    return path


def entrypoint(engine: Engine, image: str, program: str) -> str:
    """The same image, with an entrypoint as official ones have it."""
    tag = image + "-entrypoint"
    words = ["create", "--entrypoint", program, image]
    container = engine.docker(*words).stdout.strip()
    engine.docker("commit", "--change", f'ENTRYPOINT ["{program}"]', container, tag)
    engine.docker("rm", container)
    return tag


def test_case_94_files_of_an_account_that_the_image_does_not_know(engine, repository, place, start):
    """It runs as the archived number, its directory is that account's alone, and nothing is copied for it."""
    found = look(repository, "pg", place)
    asked, login = serving.request(found, own_image.postgresql(engine), read_only=True)
    assert asked.args["user"] == [_STRANGER, _STRANGER]
    session = start(repository=repository, archive="pg", asked=asked)
    ready = session.until("ready")
    assert psql(ready["port"], login, "SELECT count(*) FROM kettle").stdout.strip() == str(ROWS)
    status = os.stat(f"/var/lib/phpborg/instant/{session.token}/layers/data/merged")
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (_STRANGER, 0o700)
    assert ready["upper_bytes"] < 8 << 20


def test_case_101_an_entrypoint_of_the_image_is_not_run(engine, repository, place, start):
    """It would make a new database where it thinks that there is none; this one fails, so that it would be seen."""
    found = look(repository, "my", place)
    image = entrypoint(engine, own_image.mariadb(engine), "/bin/false")
    asked, login = serving.request(found, image, read_only=True)
    session = start(repository=repository, archive="my", asked=asked)
    port = session.until("ready")["port"]
    assert mysql(port, login, "SELECT id FROM shop.kettle").stdout.strip() == "7"


def test_case_107_mounts_that_the_engine_does_not_see_are_no_empty_data_directory(engine, lab, start):
    """As with PrivateTmp or MountFlags: refused with what to change; no container runs on the empty directory below."""
    program = lab.helper.with_name("phpborg-apart")
    program.write_text(f'#!/bin/sh\nexec unshare --mount --propagation private {lab.helper} "$@"\n')
    program.chmod(0o755)
    host = host_for(replace(local_target(lab), helper_path=str(program)))
    session = start(host=host)
    assert session.thread is not None
    session.thread.join(60)
    assert isinstance(session.error, MountsHidden), session.error
    assert left(session.token, engine) == []
    assert sql(start().until("ready")["port"], "SELECT 1").stdout.strip() == "1"
