"""The laboratory itself: what it promises to other tests is there, is real, and is gone afterwards."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.remote.build import helper_version
from servers.services import installing
from servers.transport import host_for
from servers.transport.fabric_host import FabricHost
from tests.lab import images, servers
from tests.lab.engine import Engine
from tests.support.sshd import wait_until

pytestmark = pytest.mark.lab
HOME = Path(__file__).resolve().parents[2]


def lab(command: str) -> str:
    done = subprocess.run([HOME / "script/lab", command], text=True, capture_output=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def interfaces() -> set[str]:
    return set(os.listdir("/sys/class/net"))


def outside() -> list[str]:
    """What an engine may make outside its own place."""
    return [str(path) for top in ("/etc/docker", "/run/docker", "/run/containerd") for path in Path(top).glob("**/*")]


def test_up_twice_changes_nothing_and_after_down_nothing_runs():
    """First of all: it needs the laboratory for itself."""
    engine, networks, elsewhere = Engine(), interfaces(), outside()
    assert not engine.kept, "script/lab up keeps the laboratory, and this test would end it: script/lab down"
    lab("up")
    table, running = lab("status"), engine.processes()
    assert len(re.findall(r"^server \w+ +yes +yes +sshd 127\.0\.0\.2\d:\d+", table, re.MULTILINE)) == 2
    assert " no " not in table
    again = lab("up")
    assert len(re.findall(r" was there$", again, re.MULTILINE)) == len(again.splitlines())
    assert lab("status") == table
    assert set(running) & set(engine.processes()) >= {engine.pid}
    assert "A test run uses" not in lab("down")
    assert (engine.pid, engine.processes(), engine.mounts(), engine.run_place.exists()) == (None, [], (), False)
    assert (interfaces(), outside()) == (networks, elsewhere)
    assert not [kind for kind in servers.KINDS for port in kind.ports if listens(kind.address, port)]
    assert "yes      unix" not in lab("status")


def listens(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def test_the_engine_answers_and_has_no_network_of_its_own(engine):
    assert engine.docker("version", "--format", "{{.Server.Version}}").stdout.strip()
    assert engine.docker("network", "ls", "--format", "{{.Driver}}").stdout.split() == ["host", "null"]


def test_the_postgresql_image_answers_a_query(engine):
    images.ensure(engine, images.POSTGRESQL)
    script = """set -e; PATH=/usr/lib/postgresql/15/bin:$PATH; cd /tmp
    initdb -D data --auth=peer >/dev/null; pg_ctl -D data -o "-k /tmp -c listen_addresses=''" -w -l log start >/dev/null
    psql -h /tmp -AtXc "SELECT current_setting('server_version_num')::int / 10000, 6 * 7" """
    argv = ("run", "--rm", "--network", "none", "--user", "postgres", "phpborg-lab/postgresql:15", "sh", "-c", script)
    assert engine.docker(*argv).stdout.strip() == "15|42"


def test_the_mariadb_image_answers_a_query(engine):
    images.ensure(engine, images.MARIADB)
    script = "/etc/init.d/mariadb start >/dev/null && mariadb -BN -e 'SELECT version(), 6 * 7'"
    answer = engine.docker("run", "--rm", "--network", "none", "phpborg-lab/mariadb:10.11", "sh", "-c", script).stdout
    assert re.fullmatch(r"10\.11\.\S+-MariaDB\S*\t42\n", answer)


def test_an_image_keeps_nothing_of_this_machine(engine):
    images.ensure(engine, *images.IMAGES)
    for image in images.IMAGES:
        shown = engine.docker("image", "inspect", "--format", "{{json .Config.Env}}", image.tag).stdout
        assert not re.search(r"proxy|CERT|CA_BUNDLE|DEBIAN", shown, re.IGNORECASE), shown


@pytest.fixture(params=["postgresql_server", "mariadb_server"])
def server(request):
    return request.getfixturevalue(request.param)


def test_a_server_answers_hello_as_root_and_by_sudo(server):
    server.install_helper()
    server.install_sudoers()
    for target in (server.target(), server.sudo_target()):
        facts = host_for(target).call("hello")
        assert (facts["version"], facts["uid"], facts["hostname"]) == (helper_version(), 0, server.name)


def test_set_up_of_the_product_installs_its_helper_and_sudoers(server):
    server.execute(("rm", "-rf", str(Path(servers.HELPER).parent), "/etc/sudoers.d/phpborg-server"))
    with FabricHost.connect(server.target()) as host:
        host.install_helper()
        host.install_sudoers(installing.sudoers_text(servers.ACCOUNT), "/etc/sudoers.d/phpborg-server")
    assert host_for(server.sudo_target()).call("hello")["sudo_user"] == servers.ACCOUNT


def test_a_server_lets_a_key_in_that_is_added_to_its_file(server):
    line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAabababababababababababababababababababababab other"
    with server.authorized_keys(servers.ACCOUNT).open("a") as keys:
        keys.write(f"{line}\n")
    inside = server.execute(("cat", f"/etc/lab/authorized_keys.{servers.ACCOUNT}")).stdout.decode()
    assert inside.splitlines()[-1] == line
    assert len(inside.splitlines()) == 2


def test_a_server_sees_its_own_processes_only_and_is_reaped(server):
    server.execute(("sh", "-c", "(sleep 0.1 &) ; exit 0"))
    names = "docker-init|lab-init|sshd|ps|postgres|mysqld_safe|mariadbd|logger|sleep"

    def settled() -> bool:
        lines = server.execute(("ps", "-eo", "stat=,comm=")).stdout.decode().splitlines()
        assert all(re.match(rf"\S+\s+({names})\b", line) for line in lines), lines
        return not any(line.startswith("Z") or "sleep" in line for line in lines)

    wait_until(settled, what="a dead process stays")


def test_postgresql_has_two_clusters_a_blank_and_a_tablespace(postgresql_server):
    sql = postgresql_server.sql
    assert sql("SHOW data_directory") == "/var/lib/postgresql/15/main"
    assert sql("SHOW data_directory", port=5433) == "/srv/pg data/second"
    place = "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'outside'"
    assert sql(place, port=5433) == "/srv/tablespace"
    sql("CREATE TABLE lab_proof TABLESPACE outside AS SELECT 1; DROP TABLE lab_proof", port=5433)
    assert [listens(postgresql_server.address, port) for port in (5432, 5433)] == [True, True]


def test_mariadb_lets_root_in_by_the_socket_and_by_debian_cnf(mariadb_server):
    assert mariadb_server.sql("SELECT current_user()") == "root@localhost"
    argv = ("mariadb", "--defaults-file=/etc/mysql/debian.cnf", "-BN", "-e", "SELECT 1")
    assert mariadb_server.execute(argv).stdout == b"1\n"
    assert mariadb_server.execute(("mariadb", "-e", "SELECT 1"), user=servers.ACCOUNT, check=False).returncode == 1
    assert listens(mariadb_server.address, 3306)


@pytest.fixture
def other_engine(monkeypatch) -> Iterator[Engine]:
    """Another engine, empty, in a place of its own."""
    place = Path(tempfile.mkdtemp(prefix="lab-"))
    monkeypatch.setenv("PHPBORG_LAB_CACHE", str(place))
    made = Engine()
    yield made
    made.stop()
    shutil.rmtree(place)


def run_sleep(engine: Engine) -> int:
    """A container of three files that sleeps; its process."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        program = shutil.which("sleep")
        assert program
        libraries = re.findall(r"(/\S+)", subprocess.run(["ldd", program], capture_output=True, text=True).stdout)
        for path in (program, *libraries):
            archive.add(os.path.realpath(path), path)
    command = engine.client("import", "--change", f'CMD ["{program}", "1000"]', "-", "sleep:1")
    subprocess.run(command, input=tar.getvalue(), check=True, capture_output=True)
    engine.docker("run", "--detach", "--name", "sleeper", "--network", "none", "sleep:1")
    return int(engine.docker("inspect", "--format", "{{.State.Pid}}", "sleeper").stdout)


def is_gone(engine: Engine, *pids: int) -> None:
    assert (engine.processes(), engine.mounts(), engine.run_place.exists()) == ([], (), False)
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{engine.cgroup}"))
    for pid in pids:
        wait_until(lambda pid=pid: not Path(f"/proc/{pid}/exe").exists(), what=f"process {pid} stays")


def test_two_users_share_an_engine_and_the_last_one_ends_it(other_engine):
    before = outside()
    with other_engine.used():
        pid = other_engine.pid
        with Engine().used() as second:
            assert second.pid == pid
            sleeper = run_sleep(second)
        assert other_engine.answers()
        assert not other_engine.stop_unless_used()
    is_gone(other_engine, pid, sleeper)
    assert outside() == before


def test_an_engine_that_is_kept_outlives_its_users(other_engine):
    other_engine.kept = True
    with other_engine.used():
        pid = other_engine.pid
    assert other_engine.pid == pid
    other_engine.kept = False
    assert other_engine.stop_unless_used()
    is_gone(other_engine, pid)


def test_after_a_kill_the_next_start_clears_up(other_engine):
    before = outside()
    other_engine.start()
    first = other_engine.pid
    sleeper = run_sleep(other_engine)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: other_engine.pid is None)
    other_engine.start()
    assert other_engine.pid not in (None, first)
    assert not Path(f"/proc/{sleeper}/exe").exists()
    other_engine.stop()
    is_gone(other_engine)
    assert outside() == before


def test_a_pid_file_that_names_another_process_ends_nothing(other_engine):
    with subprocess.Popen(["sleep", "60"]) as stranger:
        other_engine.run_place.mkdir()
        (other_engine.run_place / "dockerd.pid").write_text(str(stranger.pid))
        try:
            assert other_engine.pid is None
            other_engine.stop()
            assert stranger.poll() is None
        finally:
            stranger.kill()
