"""A cluster with several tablespaces, copied while it is written to: what comes back is one moment of it."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import errors
from servers.remote import PROTOCOL, streams
from servers.remote.producers import postgresql as producers
from tests.support import postgresql
from tests.support.postgresql import Cluster
from tests.support.postgresql_copy import (
    Copy,
    backup_ended,
    check_ledger,
    extract,
    feed,
    fill,
    newest,
    restored,
    writing,
)
from tests.support.sshd import processes_with, wait_until
from tests.transport.conftest import PASSPHRASE

pytestmark = pytest.mark.real

by_sudo = pytest.mark.parametrize("host", ["sudo"], indirect=True)
TOP = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Log of changes and a tablespace elsewhere, blanks in the names; a ledger whose every moment adds up."""
    with tempfile.TemporaryDirectory(prefix="phpborg-pg-") as name:
        place = Path(name)
        place.chmod(0o755)
        log = postgresql.give(place / "log of changes")
        with postgresql.running(place / "data dir", place / "run", make=("--waldir", str(log))) as made:
            made.sql("CREATE ROLE shop LOGIN PASSWORD 'se''cret'")
            fill(made)
            made.sql("CREATE EXTENSION pg_trgm; CREATE UNLOGGED TABLE unlogged AS SELECT 1 AS a", "shop")
            pgbench(made, "-i", "-s", "10", "-q")
            yield made


def pgbench(cluster: Cluster, *words: str) -> None:
    ended = postgresql.as_owner(["pgbench", "-h", str(cluster.sockets), "-p", str(cluster.port), *words, "shop"])
    assert ended.returncode == 0, ended.stderr


def check_same(again: Cluster, cluster: Cluster, least: int, most: int) -> None:
    """One moment between two, whole, with roles and extensions."""
    check_ledger(again, least, most)
    sums = [f"SELECT coalesce(sum({what}), 0) FROM pgbench_{table}" for what, table in BENCH]
    assert len({again.sql(text, "shop") for text in sums}) == 1
    roles = "SELECT string_agg(rolname || coalesce(rolpassword, ''), ',' ORDER BY rolname) FROM pg_authid"
    assert again.sql(roles) == cluster.sql(roles)
    extensions = "SELECT string_agg(extname || extversion, ',' ORDER BY extname) FROM pg_extension"
    assert again.sql(extensions, "shop") == cluster.sql(extensions, "shop")
    assert again.sql("SELECT count(*) FROM unlogged", "shop") == "0"  # as after every recovery
    amcheck = ["pg_amcheck", "--all", "--install-missing", "--heapallindexed", "--rootdescend"]
    checked = postgresql.as_owner([*amcheck, "-h", str(again.sockets), "-p", str(again.port)])
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr


BENCH = (("abalance", "accounts"), ("tbalance", "tellers"), ("bbalance", "branches"), ("delta", "history"))


@by_sudo
def test_a_copy_under_load_is_one_moment(cluster, make, borg, repository, token, place):
    settings = place / "extra settings.conf"
    settings.write_text("# kept\n")
    settings.chmod(0o640)
    with writing(cluster, place, ["-c", "2", "-R", "300"]):
        least = newest(cluster)
        ended = make("import-tar", "-", feed={**feed(cluster, token), "files": [str(settings)]})
        assert ended.exit.code == 0, ended.exit.stderr_tail
        most = newest(cluster)
    assert most > least
    wait_until(lambda: backup_ended(cluster), 5, "the session stays")
    out = place / "out"
    out.mkdir(mode=0o755)
    borg("extract", "--numeric-ids", f"{repository}::one", cwd=out)
    kept = out / str(settings)[1:]
    assert (kept.read_text(), stat.S_IMODE(kept.stat().st_mode)) == ("# kept\n", 0o640)
    with restored(cluster, out, place) as again:
        check_same(again, cluster, least, most)
    shutil.rmtree(out)


def members(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return {f"/{info.name}": info for info in tar}


def test_what_a_start_makes_anew_is_left_out(cluster, token, place):
    for name in ("postmaster.pid", "pg_wal", "pg_tblspc"):
        assert os.path.lexists(cluster.data / name)
    with (cluster.data / "base" / "pgsql_tmp1").open("w"):
        pass
    copy = Copy(feed(cluster, token), place / "tar")
    assert (copy.code, copy.said) == (0, "")
    found = members(place / "tar")
    inside = {path.removeprefix(f"{cluster.data}/"): info for path, info in found.items()}
    for name in ("postmaster.pid", "postmaster.opts", "base/pgsql_tmp1"):
        assert name not in inside
    for name in ("pg_notify", "pg_replslot", "pg_stat_tmp", "pg_subtrans", "pg_dynshmem", "pg_serial", "pg_snapshots"):
        assert inside[name].isdir()
        assert not [path for path in inside if path.startswith(f"{name}/")]
    assert inside["pg_wal"].isdir()  # it is a link there
    assert inside["pg_wal/archive_status"].isdir()
    unlogged = cluster.sql("SELECT pg_relation_filepath('unlogged')", "shop").rpartition("/")[2]
    assert [os.path.basename(path) for path in found if f"/{unlogged}" in path] == [f"{unlogged}_init"]
    order = list(inside)
    assert order.index("global/pg_control") > max(order.index(name) for name in order if name.startswith("base/"))
    assert order[-2:] == ["backup_label", "tablespace_map"]
    account = cluster.data.stat()
    assert {(info.uid, info.gid) for info in found.values()} == {(account.st_uid, account.st_gid)}


def test_a_copy_of_a_standby(cluster, token, place):
    """It ends where the standby is, in a segment that is not full yet."""
    assert Copy(feed(cluster, token), place / "tar").code == 0
    extract(place / "tar", place / "one")
    data = place / "one" / str(cluster.data)[1:]
    (data / "standby.signal").touch()
    reach = f"primary_conninfo=host={cluster.sockets} port={cluster.port} user=postgres"
    with restored(cluster, place / "one", place, options=("-c", reach)) as standby, writing(cluster, place):
        assert standby.sql("SELECT pg_is_in_recovery()") == "t"
        wait_until(lambda: newest(standby) >= newest(cluster) - 1000, 20, "it does not follow")
        least = newest(standby)
        copy = Copy(feed(standby, token), place / "second tar")
        assert (copy.code, copy.said) == (0, "")
        most = newest(cluster)
        copied = Cluster(standby.data, standby.sockets, standby.port, standby.process)
    extract(place / "second tar", place / "two")
    (place / "two" / str(copied.data)[1:] / "standby.signal").unlink()
    with restored(copied, place / "two", place) as again:
        check_ledger(again, least, most)


def test_only_the_servers_own_folder_is_copied(cluster, token, place):
    copy = Copy({**feed(cluster, token), "folder": str(postgresql.give(place / "another"))}, place / "tar")
    assert copy.code == 1
    assert f"the server's data directory is {cluster.data}, not {place}/another" in copy.said


def test_a_session_that_is_ended_makes_no_copy(cluster, token):
    """Somebody ends it: what was read until then is not a copy."""
    with streams.Said() as said:
        child = streams.begin(producers.pg_backup(feed(cluster, token), {}), said.descriptor)
        child.stdout.read(512)  # the rest waits until it is read
        assert end_sessions(cluster)
        while child.stdout.read(1 << 20):
            pass
        assert child.wait() == 1
        assert "terminating connection due to administrator command" in said.text()
    assert backup_ended(cluster)


def end_sessions(cluster: Cluster) -> bool:
    return "t" in cluster.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'phpborg'"
    )


@pytest.fixture
def given(place) -> Iterator[Cluster]:
    """A server that lets nobody in without a password, and a login that is no superuser."""
    with postgresql.running(place / "data", place / "run") as made:
        made.sql("CREATE ROLE \"back up\" LOGIN PASSWORD 'pa:ss\\w''ö'; GRANT pg_read_all_settings TO \"back up\"")
        made.sql('GRANT EXECUTE ON FUNCTION pg_backup_start, pg_backup_stop TO "back up"')
        made.sql('CREATE DATABASE mine OWNER "back up"; CREATE DATABASE other')
        (made.data / "pg_hba.conf").write_text("local all postgres peer\nlocal all all scram-sha-256\n")
        made.sql("SELECT pg_reload_conf()")
        yield made


PASSWORD = "pa:ss\\w'ö"


def test_a_given_login(given, make, borg, repository, token):
    where = {**given.where, "user": "back up"}
    rows = [{"name": "mine.sql", "producer": "pg_dump", "database": "mine", **where}]
    ended = make("create", streams=rows, secrets={"database": PASSWORD})
    assert ended.exit.code == 0, ended.exit.stderr_tail
    assert b"PostgreSQL database dump complete" in borg("extract", "--stdout", f"{repository}::one", "mine.sql")


@by_sudo
def test_a_given_login_of_a_whole_cluster(given, make, borg, repository, token):
    ended = make("import-tar", "-", feed={**feed(given, token), "user": "back up"}, secrets={"database": PASSWORD})
    assert ended.exit.code == 0, ended.exit.stderr_tail
    assert str(given.data / "backup_label")[1:] in borg("list", "--short", f"{repository}::one").decode()


@by_sudo
def test_a_wrong_password_fails_in_the_servers_words(given, make, token):
    with pytest.raises(errors.StreamFailed, match='password authentication failed for user "back up"'):
        make("import-tar", "-", feed={**feed(given, token), "user": "back up"}, secrets={"database": "no"})


def test_a_password_is_seen_nowhere(given, token, place):
    """Neither in a command line nor in an environment, of psql and of the process that copies."""
    row = {**feed(given, token), "user": "back up"}
    producer = producers.pg_backup(row, {"database": PASSWORD})
    with streams.Said() as said:
        child = streams.begin(producer, said.descriptor)
        child.stdout.read(512)  # it waits in the pipe, and its session with it
        psql = [pid for pid in processes_with(str(given.sockets)) if "psql" in Path(f"/proc/{pid}/comm").read_text()]
        seen = [
            Path(f"/proc/{pid}/{name}").read_bytes() for pid in (*psql, child.pid) for name in ("cmdline", "environ")
        ]
        child.stdout.close()
        child.wait()
    assert psql
    assert not [text for text in seen if b"pa:ss" in text or b"pa\\:ss" in text]


@pytest.mark.parametrize(("slots", "reason"), [("10", ""), ("0", "wal_keep_size")])
def test_the_log_of_a_long_copy(place, token, slots, reason):
    """Checkpoints meanwhile remove what no one needs: a slot keeps it; without one the failure says what to set."""
    options = ("-c", f"max_replication_slots={slots}", "-c", "max_wal_senders=0", "-c", "wal_level=replica")
    sizes = ("-c", "min_wal_size=32MB", "-c", "max_wal_size=32MB")
    with postgresql.running(place / "data", place / "run", options=options + sizes) as made, streams.Said() as said:
        made.sql("CREATE TABLE t AS SELECT generate_series(1, 100000) AS i")
        child = streams.begin(producers.pg_backup(feed(made, token), {}), said.descriptor)
        child.stdout.read(512)  # the rest waits until it is read
        for _ in range(8):
            made.sql("INSERT INTO t SELECT generate_series(1, 1000); SELECT pg_switch_wal(); CHECKPOINT")
        while child.stdout.read(1 << 20):
            pass
        assert child.wait() == (1 if reason else 0)
        assert reason in said.text()


def test_files_that_change_keep_their_size(place):
    """Cut or filled with zeros: the header is written before the content."""
    from servers.remote import tarmake

    path = place / "file"
    path.write_bytes(b"x" * 3000)
    before = path.stat()
    out = place / "tar"
    with path.open("rb") as file, out.open("wb") as sink:
        writer = tarmake.Writer(sink.fileno())
        os.truncate(path, 1000)
        writer.file(b"/shorter", file.fileno(), before)
        file.seek(0)
        path.write_bytes(b"y" * 9000)
        writer.file(b"/longer", file.fileno(), before)
        writer.finish()
    with tarfile.open(fileobj=io.BytesIO(out.read_bytes())) as tar:
        assert tar.extractfile("shorter").read() == b"x" * 1000 + b"\0" * 2000
        assert tar.extractfile("longer").read() == b"y" * 3000


@pytest.mark.chaos
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_backup_mode_ends_with_the_helper(cluster, borg, repository, token, how):
    """In the middle: the session is gone at once, and so is every process; there is no archive."""
    request = {
        "v": PROTOCOL,
        "nonce": "0" * 16,
        "verb": "borg",
        "args": {
            "argv": ["import-tar", "--json", "--log-json", f"{repository}::one", "-"],
            "link": {"mode": "local"},
            "env": {"BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"},
            "feed": feed(cluster, token),
        },
        "secrets": {"passphrase": PASSPHRASE},
    }
    words = [sys.executable, "-m", "servers.remote"]
    helper = subprocess.Popen(words, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    helper.stdin.write(json.dumps(request).encode() + b"\n")
    helper.stdin.flush()
    wait_until(lambda: not backup_ended(cluster), 20, "backup mode was not entered")
    ended_at = time.monotonic()
    if how == "killed":
        helper.send_signal(signal.SIGKILL)
    else:
        helper.stdin.write(b"stop\n")
        helper.stdin.flush()
    wait_until(lambda: backup_ended(cluster), 5, "the session stays")
    assert time.monotonic() - ended_at < 3
    helper.communicate(timeout=30)
    wait_until(lambda: not processes_with(str(repository)), 15, "borg stays")
    wait_until(lambda: not [pid for pid in processes_with(str(cluster.sockets)) if is_psql(pid)], 5, "psql stays")
    assert borg("list", "--short", str(repository)) == b""
    pgbench(cluster, "-n", "-t", "5")


def test_a_copy_that_is_killed_takes_its_session_along(cluster, token):
    with streams.Said() as said:
        child = streams.begin(producers.pg_backup(feed(cluster, token), {}), said.descriptor)
        child.stdout.read(512)
        assert not backup_ended(cluster)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        wait_until(lambda: backup_ended(cluster), 3, "the session stays")
        child.stdout.close()


def is_psql(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text().strip() == "psql"
