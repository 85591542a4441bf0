"""The loopback of a container without a network, reached from this machine and from nowhere else."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from servers.remote import wire
from servers.remote.instant import cage, gateway, inside
from tests.support import own_image
from tests.support.workers import wait_until

pytestmark = pytest.mark.real
HELLO = "<?php echo 'from ', gethostname(), ' ', strlen(file_get_contents('php://input'));"


@pytest.fixture(scope="module")
def container(engine) -> Iterator[str]:
    """It answers HTTP at 127.0.0.1:8080 of its own."""
    place = Path(tempfile.mkdtemp(prefix="phpborg-inside-"))
    place.chmod(0o755)
    (place / "index.php").write_text(HELLO)
    name = "phpborg-test-" + uuid.uuid4().hex[:12]
    words = [
        "run",
        "--detach",
        "--name",
        name,
        "--hostname",
        "the-cage",
        "--network",
        "none",
        "--tmpfs",
        "/tmp",
        "--user",
        "1000:1000",
    ]
    words += ["--mount", f"type=bind,source={place},target=/www,readonly", "--entrypoint", "/usr/bin/php"]
    engine.docker(*words, own_image.adminer(engine), "-S", "127.0.0.1:8080", "-t", "/www")
    yield name
    engine.docker("rm", "--force", name)
    shutil.rmtree(place)


@pytest.fixture
def docker(engine) -> cage.Docker:
    return cage.opened(str(engine.socket))


@pytest.fixture
def control() -> wire.Control:
    return wire.Control(0)


@pytest.fixture
def namespace(docker, container, control) -> Iterator[inside.Namespace]:
    one = inside.Namespace(docker, container, control)
    wait_until(lambda: one.answers(8080), 30)
    yield one
    one.close()


def ask(port: int, data: bytes | None = None) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", data, timeout=30) as answer:
        return answer.read().decode()


def test_a_port_of_this_machine_is_carried_to_the_container_and_we_never_go_there(namespace):
    own = os.readlink("/proc/self/ns/net")
    way = gateway.Gateway("127.0.0.1", (18380, 18480), gateway.Port(namespace, 8080))
    way.start()
    try:
        assert ask(way.port) == "from the-cage 0"
        assert ask(way.port, b"x" * 3_000_000) == "from the-cage 3000000"
        assert way.served == 2
        seen = set()
        for task in Path("/proc/self/task").iterdir():
            with suppress(FileNotFoundError):  # a thread that ends in this moment
                seen.add(os.readlink(task / "ns/net"))
        assert seen == {own}
    finally:
        way.close()
    with pytest.raises(urllib.error.URLError):
        ask(way.port)


def test_many_at_once(namespace):
    answers: list[str] = []
    way = gateway.Gateway("127.0.0.1", (18380, 18480), gateway.Port(namespace, 8080))
    way.start()
    threads = [threading.Thread(target=lambda: answers.append(ask(way.port))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    way.close()
    assert answers == ["from the-cage 0"] * 20


def test_a_port_where_nobody_listens_ends_the_connection(namespace):
    assert not namespace.answers(8081)
    way = gateway.Gateway("127.0.0.1", (18380, 18480), gateway.Port(namespace, 8081))
    way.start()
    with socket.create_connection(("127.0.0.1", way.port), timeout=30) as client:
        assert client.recv(1) == b""
    way.close()


def test_the_container_itself_reaches_nothing_of_ours(engine, container):
    with socket.socket() as ours:
        ours.bind(("127.0.0.1", 0))
        ours.listen()
        code = f"exit(@fsockopen('127.0.0.1', {ours.getsockname()[1]}) ? 1 : 0);"
        engine.docker("exec", container, "/usr/bin/php", "-r", code)


def test_one_that_has_this_machine_s_network_or_does_not_run_is_refused(engine, docker, control):
    name = "phpborg-test-" + uuid.uuid4().hex[:12]
    image = own_image.adminer(engine)
    try:
        words = ["run", "--detach", "--name", name, "--network", "host", "--entrypoint", "/usr/bin/php", image]
        engine.docker(*words, "-r", "sleep(600);")
        with pytest.raises(wire.Refused, match="no network of its own"):
            inside.Namespace(docker, name, control)
        subprocess.run([*docker.words("kill", name)], check=True, capture_output=True)
        with pytest.raises(wire.Refused, match="does not run"):
            inside.Namespace(docker, name, control)
    finally:
        engine.docker("rm", "--force", name, check=False)
    with pytest.raises(wire.Refused, match="does not run"):
        inside.Namespace(docker, name, control)
