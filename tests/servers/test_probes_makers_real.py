"""An account hands a socket of its own to a program that gains rights: who made the socket is who answers at it."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.remote import mysql_access, wire
from servers.remote.probes import databases

pytestmark = pytest.mark.real

NOBODY = 65534
# As an account without rights: listen, then become a program of root's that never closes what it was handed.
LISTENS_AND_RISES = f"""
import os, socket, sys
os.setgid({NOBODY}); os.setuid({NOBODY})
door = socket.socket(socket.AF_UNIX)
door.bind(sys.argv[1] + "/open/mysql.sock")
door.listen()
port = socket.create_server(("127.0.0.1", 0))
for one in (door, port):
    os.set_inheritable(one.fileno(), True)
print(port.getsockname()[1], flush=True)
os.execv(sys.argv[1] + "/rises", ["mysqld", "60"])
"""


@pytest.fixture
def risen() -> Iterator[tuple[Path, int, int]]:
    """(directory, process, port) of such a program; it is ended after the test."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        place = Path(name)
        place.chmod(0o755)
        (place / "open").mkdir()
        (place / "open").chmod(0o777)
        shutil.copy("/bin/sleep", place / "rises")
        (place / "rises").chmod(0o4755)
        child = subprocess.Popen([sys.executable, "-c", LISTENS_AND_RISES, name], stdout=subprocess.PIPE, text=True)
        try:
            assert child.stdout is not None
            port = int(child.stdout.readline())
            until = time.monotonic() + 10
            while os.stat(f"/proc/{child.pid}").st_uid and time.monotonic() < until:
                time.sleep(0.02)
            yield place, child.pid, port
        finally:
            child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()


def test_a_socket_in_the_hands_of_a_program_of_root_is_still_of_who_made_it(risen: tuple[Path, int, int]) -> None:
    place, pid, port = risen
    path = str(place / "open" / "mysql.sock")
    assert os.stat(f"/proc/{pid}").st_uid == 0, "the process looks like root's"
    assert databases.peer(path) == pid
    assert sorted(databases.listening(pid).ports) == [("127.0.0.1", port)]
    for door in (databases.Door(path), databases.Door(None, "127.0.0.1", port)):
        assert databases.maker(door) == NOBODY
        assert not databases.safe("mysql", 0, [door])


def test_such_a_socket_is_not_shown_root(risen: tuple[Path, int, int]) -> None:
    path = str(risen[0] / "open" / "mysql.sock")
    with pytest.raises(wire.Refused) as refused:
        mysql_access.access({"socket": path, "login": {"method": "my.cnf"}}, {})
    assert refused.value.code in ("unsafe", "missing")
    found = mysql_access.access({"socket": path, "login": {"method": "socket"}}, {})
    assert found.user == "nobody", "the client gets in as that account, not as root"


def test_a_socket_of_root_is_one(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        assert databases.safe("mysql", os.geteuid(), [databases.Door(str(tmp_path / "s"))])
