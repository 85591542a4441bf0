"""The verb `docker` as the worker uses it: through phpborg-remote, with borg and a real archive, and kill -9 of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from servers import errors
from servers.remote.dockers import bodies, reading
from servers.remote.dockers.engine import Engine as Client
from servers.transport import host_for
from servers.transport.base import Host
from servers.transport.tunnel import link
from tests.dockers.steps_at_hand import HOSTILE, fill
from tests.dockers.world import clean, data_of, inspected, world
from tests.support.bridged import Bridged
from tests.support.sshd import Lab, descendants, local_target, wait_until

pytestmark = pytest.mark.real
PASSPHRASE = "a passphrase with a blank"
SPEAKS, PLAIN = "phpborg-test/speaks:1", "phpborg-test/plain:1"
CANARY = "canary-of-the-environment"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    made = Lab.create()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def host(lab: Lab) -> Host:
    return host_for(local_target(lab))


@pytest.fixture
def engine(pair: tuple[Bridged, Bridged]) -> Iterator[Bridged]:
    clean(pair[1])
    yield pair[1]
    clean(pair[1])


@pytest.fixture
def token() -> str:
    return str(uuid.uuid4())


class Restore:
    """One restore through the helper."""

    def __init__(self, host: Host, engine: Bridged, token: str) -> None:
        self.host, self.engine, self.token = host, engine, token

    def call(self, action: str, **args: Any) -> dict[str, Any]:
        asked = {"action": action, "socket": str(self.engine.socket), "token": self.token, **args}
        return self.host.call("docker", asked, timeout=120)

    def do(self, number: int, op: str, secret: Mapping[str, Any] | None = None, **params: Any) -> dict[str, Any]:
        secrets = None if secret is None else {"params": json.dumps(secret)}
        step = {"op": op, "params": params}
        asked = {"action": "do", "socket": str(self.engine.socket), "token": self.token, "number": number, "step": step}
        done: dict[str, Any] = self.host.call("docker", asked, timeout=120, secrets=secrets)["done"]
        return done


@pytest.fixture
def restore(host: Host, engine: Bridged, token: str) -> Iterator[Restore]:
    made = Restore(host, engine, token)
    made.call("begin")
    yield made
    made.call("rollback")


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "repository"
    env = {"PATH": "/usr/bin:/bin", "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(tmp_path / "borg")}
    subprocess.run(["borg", "init", "-e", "repokey-blake2", str(place)], check=True, env=env, capture_output=True)
    yield place
    shutil.rmtree(place)


def archive(repository: Path, cwd: Path, *paths: str) -> None:
    env = {
        **{"PATH": "/usr/bin:/bin", "BORG_PASSPHRASE": PASSPHRASE},
        "BORG_BASE_DIR": str(repository.parent / "borg"),
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
    }
    subprocess.run(["borg", "create", f"{repository}::one", *paths], check=True, env=env, cwd=cwd)


def test_an_image_comes_out_of_an_archive(restore: Restore, repository: Path, tmp_path: Path) -> None:
    engine = restore.engine
    engine.docker("tag", PLAIN, "phpborg-test/saved:1")
    made = tmp_path / "var/lib/phpborg/docker/images"
    made.mkdir(parents=True)
    engine.docker("build", "--tag", "phpborg-test/saved:1", "-", stdin=_text(tmp_path, f"FROM {PLAIN}\nENV ONE=1\n"))
    identity = engine.docker("image", "inspect", "--format", "{{.Id}}", "phpborg-test/saved:1").stdout.strip()
    engine.docker("save", "--output", str(made / "0.tar"), "phpborg-test/saved:1")
    whole = (made / "0.tar").read_bytes()
    (made / "1.tar").write_bytes(whole[: len(whole) // 2])
    archive(repository, tmp_path, "var/lib/phpborg/docker")
    engine.docker("rmi", "phpborg-test/saved:1")
    params = {"reference": "phpborg-test/saved:1", "id": identity, "images": ["phpborg-test/saved:1"]}
    with pytest.raises(errors.PhpBorgError):
        _load(restore, repository, 0, "images/1.tar", params)
    with pytest.raises(errors.PhpBorgError, match="borg ended"):
        _load(restore, repository, 1, "images/none.tar", params)
    assert engine.docker("image", "inspect", identity, check=False).returncode
    facts = _load(restore, repository, 2, "images/0.tar", params)
    assert facts["loaded"]
    assert facts["bytes"] == len(whole)
    assert engine.docker("image", "inspect", "--format", "{{.Id}}", "phpborg-test/saved:1").stdout.strip() == identity
    again = _load(restore, repository, 3, "images/0.tar", params)
    assert not again["loaded"]
    engine.docker("rmi", "phpborg-test/saved:1")


def _text(place: Path, text: str) -> Any:
    file = place / "stdin"
    file.write_text(text)
    return file.open("rb")


def _load(restore: Restore, repository: Path, number: int, name: str, params: dict[str, Any]) -> dict[str, Any]:
    lines: list[dict[str, Any]] = []

    def hear(line: bytes) -> None:
        with suppress(ValueError):
            lines.append(json.loads(line))

    with link(restore.host, str(repository), mode="tunnel", token=restore.token) as way:
        asked = {
            **{"action": "do", "socket": str(restore.engine.socket), "token": restore.token, "number": number},
            "step": {"op": "load_image", "params": params},
            "argv": ["extract", "--stdout", way.location("one"), f"pp:var/lib/phpborg/docker/{name}"],
        }
        ended = restore.host.run(
            "docker", asked, secrets={"passphrase": PASSPHRASE}, on_stderr=hear, link=way, timeout=120
        )
    answer: dict[str, Any] = json.loads(ended.exit.stdout)["done"]
    if answer["loaded"]:
        assert [line for line in lines if line.get("type") == "phpborg_docker"]
    return answer


def test_case_127_owners_are_numbers_and_ways_are_open(restore: Restore, repository: Path, tmp_path: Path) -> None:
    """Extracted by borg through the helper, exchanged by it, whatever its umask."""
    source = tmp_path / "archived"
    source.mkdir()
    fill(source / "data", {"a": "1", f"deep/{HOSTILE}": "2"}, (4242, 4343))
    for path in (source / "data/deep", source / "data/deep" / HOSTILE):
        os.chown(path, 101, 101)  # an account of the archive's machine that has another number here
        path.chmod(0o4750)
    archive(repository, source, "data")
    top = tmp_path / "server"
    top.mkdir()
    target = top / "way one" / "way two" / "data"
    place = {"target": str(target.parent), "token": restore.token}
    made = restore.host.call("stage", place)["created"]
    with link(restore.host, str(repository), mode="tunnel", token=restore.token) as way:
        argv = ["extract", "--numeric-ids", way.location("one"), "pp:data"]
        ended = restore.host.run(
            "borg", {"argv": argv, "staging": place}, secrets={"passphrase": PASSPHRASE}, link=way, timeout=120
        )
    assert ended.exit.code == 0, ended.exit.stderr_tail
    params = {"target": str(target), "stage": place["target"], "source": "/data", "made": made}
    restore.do(0, "exchange", **params)
    restore.host.call("unstage", place)
    for path in (target.parent, target.parent.parent):
        assert path.stat().st_mode & 0o7777 == 0o755
    assert (target / "a").stat().st_uid == 4242
    assert (target / "a").stat().st_gid == 4343
    odd = (target / "deep" / HOSTILE).stat()
    assert (odd.st_uid, odd.st_gid, odd.st_mode & 0o7777) == (101, 101, 0o4750)
    assert restore.call("rollback")["problems"] == []
    assert list(top.iterdir()) == []


def test_a_body_is_secret_and_stands_in_no_journal(restore: Restore, engine: Bridged) -> None:
    engine.docker("create", "--name", "box", "--env", f"SECRET={CANARY}", "--label", f"x={HOSTILE}", SPEAKS)
    with Client(str(engine.socket)) as client:
        seen = reading.read(client)
        (said,) = [one for one in seen.containers if reading.name_of(one) == "box"]
        row = reading.container_row(said, seen, reading.is_file)
    made = bodies.rewrite(dict(row, name="copy"), {})
    restore.do(0, "create_container", secret=made)
    restore.do(1, "start", container="copy", state="running")
    assert f"SECRET={CANARY}" in inspected(engine, "copy")["Config"]["Env"]
    assert inspected(engine, "copy")["Config"]["Labels"]["x"] == HOSTILE
    for path in Path("/var/lib/phpborg/docker-restore", restore.token).iterdir():
        assert CANARY not in path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
    told = restore.call("state")
    assert [(step["op"], step["done"]) for step in told["steps"]] == [("create_container", True), ("start", True)]
    assert restore.call("rollback")["problems"] == []
    assert set(world(engine)["containers"]) == {"/box"}


def test_the_helper_is_killed_while_a_container_stops(restore: Restore, engine: Bridged, tmp_path: Path) -> None:
    """A container that does not want to end: the helper is gone long before its engine has stopped it."""
    words = ["sh", "-c", "trap 'echo x > /out/asked' TERM; while :; do sleep 0.1; done"]
    run = ["run", "--detach", "--name", "deaf", "--restart", "always", "--volume", f"{tmp_path}:/out"]
    engine.docker(*run, PLAIN, *words)
    before = world(engine)
    failed: list[BaseException] = []

    def stop() -> None:
        try:
            restore.do(0, "stop_container", container="deaf", seconds=4)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=stop)
    thread.start()
    wait_until((tmp_path / "asked").exists)
    for pid in descendants(os.getpid()):
        with suppress(OSError):
            if b"phpborg-remote" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
    thread.join(60)
    assert failed
    assert restore.call("rollback")["problems"] == []
    time.sleep(6)  # longer than the order to stop could last
    assert world(engine) == before
    engine.docker("kill", "deaf")


def test_a_second_beginning_and_unknown_steps_are_refused(restore: Restore) -> None:
    with pytest.raises(errors.PhpBorgError, match="exists"):
        restore.call("begin")
    with pytest.raises(errors.PhpBorgError, match="no such step"):
        restore.do(0, "run_shell", command="id")
    with pytest.raises(errors.PhpBorgError):
        restore.call("explode")
    with pytest.raises(errors.PhpBorgError):
        restore.host.call("docker", {"action": "state", "token": "../../etc"})


def test_the_inventory_through_the_helper(host: Host, engine: Bridged) -> None:
    engine.docker("create", "--name", "box", "--env", f"SECRET={CANARY}", SPEAKS)
    said = host.call("docker", {"action": "inventory", "socket": str(engine.socket), "paths": ["/etc", "/nowhere/x"]})
    assert [row["name"] for row in said["containers"]] == ["box"]
    assert CANARY not in json.dumps(said)
    assert said["paths"]["/etc"]["exists"]
    data = data_of(engine, said["volumes"][0]["name"])
    assert said["volumes"][0]["mountpoint"] == str(data)
