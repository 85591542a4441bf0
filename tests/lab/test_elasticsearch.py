"""Snapshots that a node of OpenSearch makes itself, through the helper: under writes, seen, restored, removed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from phpborg import mounts
from servers import errors
from servers.transport import host_for
from servers.transport.base import Host
from servers.transport.tunnel import link
from tests.lab.opensearch import ACCOUNT, Node, running_node
from tests.support.sshd import Lab, descendants, local_target, wait_until

pytestmark = pytest.mark.lab
PASSPHRASE = "pa$s 'w\"ord"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """This machine, as root."""
    lab = Lab.create()
    yield host_for(local_target(lab))
    lab.remove()


@pytest.fixture
def token() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def node(opensearch_node) -> Iterator[Node]:
    """The node without indices; at its end nothing of ours is there."""
    yield opensearch_node
    opensearch_node.ask("DELETE", "/_all?expand_wildcards=all")
    assert nothing_left(opensearch_node)


def ask(host: Host, node: Node, action: str, token: str, **other: Any) -> dict[str, Any]:
    arguments = {"action": action, "token": token, "kind": "elasticsearch", **node.access, **other}
    secrets = {"database": "wrong"}
    return host.call("snapshot", arguments, timeout=120, secrets=secrets)


def nothing_left(node: Node) -> bool:
    """No repository, no directory, no mount."""
    ours = [path for path in mounts.mounts_below(Path("/run/phpborg")) if _is_view_of(path, node)]
    return (node.ask("GET", "/_snapshot"), list(node.repositories.iterdir()), ours) == ({}, [], [])


def _is_view_of(path: Path, node: Node) -> bool:
    """Others freeze things on this machine at the same time."""
    return any(one.path == path and str(node.place) in str(one) for one in mounts.mounted())


def fill(node: Node, index: str, count: int, shards: int = 1) -> dict[str, Any]:
    """An index with `count` documents; what they are, by id."""
    node.ask("PUT", f"/{index}", {"settings": {"number_of_shards": shards, "number_of_replicas": 0}})
    documents = {str(n): {"n": n, "text": f"été {n} 😀", "price": n / 7} for n in range(count)}
    lines = [json.dumps(line) for id_, body in documents.items() for line in ({"index": {"_id": id_}}, body)]
    assert node.ask("POST", f"/{index}/_bulk", ("\n".join(lines) + "\n").encode())["errors"] is False
    return documents


def checksum(documents: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(documents, sort_keys=True).encode()).hexdigest()


@contextmanager
def writes(node: Node, index: str) -> Iterator[list[int]]:
    """Documents {"n": n} with the id n, one after the other; those that were acknowledged."""
    node.ask("PUT", f"/{index}", {"settings": {"number_of_shards": 1, "number_of_replicas": 0}})
    done: list[int] = []
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            node.ask("PUT", f"/{index}/_doc/{len(done)}", {"n": len(done)})
            done.append(len(done))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        wait_until(lambda: len(done) > 50)
        yield done
    finally:
        over.set()
        thread.join()


def restore(node: Node, files: Path, token: str) -> None:
    """As the instructions say: the files below path.repo, a read-only repository of them, its one snapshot."""
    place = node.repositories / "restored"
    shutil.copytree(files, place)
    for path in (place, *place.rglob("*")):
        shutil.chown(path, ACCOUNT, "nogroup")
    settings = {"location": str(place), "readonly": True}
    node.ask("PUT", "/_snapshot/restored", {"type": "fs", "settings": settings})
    (snapshot,) = node.ask("GET", "/_snapshot/restored/_all")["snapshots"]
    assert (snapshot["snapshot"], snapshot["state"]) == (f"phpborg-{token}", "SUCCESS")
    path = f"/_snapshot/restored/{snapshot['snapshot']}/_restore?wait_for_completion=true"
    done = node.ask("POST", path, {"include_global_state": True})
    assert done["snapshot"]["shards"]["failed"] == 0


def test_a_snapshot_under_writes_comes_back_on_a_fresh_node(host, node, token, tmp_path):
    assert [path.name for path in node.place.glob("data/*/nodes/0/node.lock")] == ["node.lock"] * 2
    items = fill(node, "items", 2000, shards=3)
    closed = fill(node, "closed", 20)
    node.ask("POST", "/closed/_close")
    template = {"index_patterns": ["log-*"], "template": {"aliases": {"logs": {}}}}
    node.ask("PUT", "/_index_template/logs", template)
    node.ask("POST", "/_aliases", {"actions": [{"add": {"index": "items", "alias": "goods"}}]})
    with writes(node, "orders") as done:
        before = len(done)
        made = ask(host, node, "make", token)
        after = len(done) + 1
        assert (made["origins"], made["type"]) == ([str(node.repositories)], "elasticsearch")
        assert (made["indices"], made["left_out"]) == (3, [])
        assert ask(host, node, "state", token) == {
            "exists": True,
            "valid": True,
            "used_percent": None,
            "problem": None,
        }
        files = archived(host, node, token, tmp_path)
        assert ask(host, node, "remove", token)["removed"] == [made["mountpoint"], made["name"]]
        assert ask(host, node, "remove", token)["removed"] == []
    assert nothing_left(node)
    assert not list(files.rglob("node.lock"))
    with running_node("two") as fresh:
        restore(fresh, files, token)
        assert checksum(fresh.documents("items")) == checksum(items)
        orders = fresh.documents("orders")
        assert orders == {str(n): {"n": n} for n in range(len(orders))}
        assert before <= len(orders) <= after
        fresh.ask("POST", "/closed/_open?wait_for_active_shards=1")
        assert fresh.documents("closed") == closed
        assert fresh.ask("GET", "/goods/_count")["count"] == len(items)
        known = fresh.ask("GET", "/_index_template/logs")["index_templates"][0]["index_template"]
        assert known["index_patterns"] == ["log-*"]
    node.ask("DELETE", "/_index_template/logs")


def archived(host: Host, node: Node, token: str, tmp_path: Path) -> Path:
    """The view as borg has stored and extracted it, under the paths of the live system."""
    env = {**os.environ, "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(tmp_path / "base")}
    env |= {"BORG_REPO": str(tmp_path / "repository"), "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}
    subprocess.run(["borg", "init", "-e", "repokey-blake2"], env=env, check=True, capture_output=True)
    with link(host, str(tmp_path / "repository"), mode="tunnel", token=token) as way:
        argv = ["create", "--json", "--log-json", way.location("one"), str(node.repositories)]
        views = [{"token": token, "inside": "/", "at": str(node.repositories)}]
        asked = {"argv": argv, "token": token, "views": views}
        ended = host.run("borg", asked, secrets={"passphrase": PASSPHRASE}, link=way)
        assert ended.exit.code == 0, ended.exit.stderr_tail
    target = tmp_path / "extracted"
    target.mkdir()
    subprocess.run(["borg", "extract", "::one"], env=env, check=True, capture_output=True, cwd=target)
    return target / str(node.repositories).lstrip("/")


def test_the_view_is_read_only_and_nobody_else_can_read_it(host, node, token):
    fill(node, "items", 10)
    made = ask(host, node, "make", token)
    try:
        view = Path(made["mountpoint"])
        assert (view / "index.latest").read_bytes()
        with pytest.raises(OSError, match="Read-only"):
            (view / "new").touch()
        assert (node.repositories / f"phpborg-{token}").stat().st_mode & 0o777 == 0o700
        with pytest.raises(errors.RemoteFailed, match="exists already"):
            ask(host, node, "make", token)
    finally:
        ask(host, node, "remove", token)


def broken(node: Node, index: str) -> None:
    """Damage the data of an index so that its shard cannot be read any more, and let the node see it."""
    node.ask("POST", f"/{index}/_flush?force=true")
    node.ask("POST", f"/{index}/_close")
    uuid_ = node.ask("GET", f"/_cat/indices/{index}?format=json&h=uuid&expand_wildcards=all")[0]["uuid"]
    for segments in node.place.glob(f"data/*/nodes/0/indices/{uuid_}/0/index/segments_*"):
        segments.write_bytes(b"\0" * 64)
    node.ask("POST", f"/{index}/_open?wait_for_active_shards=0", check=False)


def test_a_shard_that_is_missing_is_named_and_nothing_is_left(host, node, token):
    fill(node, "whole", 10)
    fill(node, "hurt", 10)
    broken(node, "hurt")
    with pytest.raises(errors.SnapshotFailed, match=r"hurt") as caught:
        ask(host, node, "make", token)
    assert "whole" not in str(caught.value)
    assert nothing_left(node)


def test_a_partial_snapshot_is_not_valid(host, node, token):
    """As if a shard had been lost while the snapshot was made: the node itself says PARTIAL."""
    fill(node, "whole", 10)
    fill(node, "hurt", 10)
    made = ask(host, node, "make", token)
    broken(node, "hurt")
    name = f"phpborg-{token}"
    node.ask("DELETE", f"/_snapshot/{name}/{name}")
    body = {"include_global_state": True, "partial": True}
    node.ask("PUT", f"/_snapshot/{name}/{name}?wait_for_completion=true", body)
    state = ask(host, node, "state", token)
    assert (state["exists"], state["valid"]) == (True, False)
    assert "PARTIAL" in state["problem"]
    assert "hurt[0]" in state["problem"]
    assert made["name"] in ask(host, node, "remove", token)["removed"]


@pytest.fixture
def big(node) -> None:
    """So much data that a snapshot of it takes the node a second, at the pace that it allows itself."""
    node.ask("PUT", "/big", {"settings": {"number_of_shards": 1, "number_of_replicas": 0}})
    for start in range(0, 200, 20):
        lines = []
        for number in range(start, start + 20):
            lines += [f'{{"index": {{"_id": "{number}"}}}}', json.dumps({"text": os.urandom(100_000).hex()})]
        node.ask("POST", "/big/_bulk", ("\n".join(lines) + "\n").encode())
    node.ask("POST", "/big/_flush?force=true")


def test_a_stop_cancels_the_snapshot(host, node, token, big):
    stop = threading.Event()
    threading.Thread(target=lambda: (wait_until(lambda: running(node, token)), stop.set())).start()
    arguments = {"action": "make", "token": token, "kind": "elasticsearch", **node.access}
    began = time.monotonic()
    with pytest.raises(errors.RemoteStopped):
        host.call("snapshot", arguments, timeout=120, stop=stop)
    assert time.monotonic() - began < 30
    assert nothing_left(node)


def running(node: Node, token: str) -> bool:
    found = node.ask("GET", f"/_snapshot/phpborg-{token}/_all", check=False).get("snapshots", [])
    return bool(found) and found[0]["state"] == "IN_PROGRESS"


MOMENTS = {
    "before the node is told": lambda node, token: private(token).exists(),
    "when it is being told": lambda node, token: (private(token) / "told").exists(),
    "with a repository": lambda node, token: (node.repositories / f"phpborg-{token}").exists(),
    "while the snapshot is made": running,
    "with a view": lambda node, token: mounts.is_mounted(private(token) / "view"),
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_after_a_kill_at_any_moment_everything_is_found_by_the_token(host, node, token, big, moment):
    killed = []

    def kill() -> None:
        deadline = time.monotonic() + 30
        while not moment(node, token) and time.monotonic() < deadline:
            time.sleep(0.001)
        for pid in descendants(os.getpid()):
            with suppress(OSError):
                if b"phpborg-remote" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    with suppress(errors.ConnectionLost, errors.RemoteFailed):
        ask(host, node, "make", token)
    killer.join()
    assert killed or moment is MOMENTS["with a view"]
    ask(host, node, "remove", token)
    assert nothing_left(node)
    assert not private(token).exists()


def test_what_the_node_makes_only_after_its_teller_was_killed_goes_too(host, node, token):
    """As on a busy machine: the question was sent, its sender killed, and the node comes to it while we remove."""
    name = f"phpborg-{token}"
    private(token).mkdir(mode=0o700, parents=True)
    (private(token) / "told").touch()
    body = {"type": "fs", "settings": {"location": str(node.repositories / name)}}
    late = threading.Timer(2, lambda: node.ask("PUT", f"/_snapshot/{name}", body))
    late.start()
    ask(host, node, "remove", token)
    late.join()
    assert nothing_left(node)
    assert not private(token).exists()


def private(token: str) -> Path:
    """The directory of the snapshot on this machine."""
    return Path(f"/run/phpborg/snapshot-{token}")


@pytest.mark.parametrize(
    ("other", "error", "words"),
    [
        ({"path_repo": "/srv"}, errors.RemotePathMissing, "not in the node's path.repo"),
        ({"path_repo": "relative"}, errors.RequestRefused, "absolute"),
        ({"url": "http://192.0.2.1:9200"}, errors.UnsafePath, "not an address of this machine"),
        ({"url": "http://127.0.0.1:1"}, errors.SnapshotFailed, "does not answer"),
        ({"url": "http://user:secret@127.0.0.1:9200"}, errors.RequestRefused, "form"),
        ({"url": "file:///etc/passwd"}, errors.RequestRefused, "form"),
        ({"login": {"method": "given", "user": "u"}}, errors.UnsafePath, "account nobody"),
    ],
)
def test_what_is_no_node_of_ours_is_refused_and_nothing_is_made(host, node, token, other, error, words):
    with pytest.raises(error, match=words):
        ask(host, node, "make", token, **other)
    assert nothing_left(node)
    assert not private(token).exists()


def test_a_directory_that_everybody_may_write_to_is_refused(host, node, token):
    node.repositories.chmod(0o777)
    try:
        with pytest.raises(errors.UnsafePath, match="everybody may write"):
            ask(host, node, "make", token)
    finally:
        node.repositories.chmod(0o750)


def test_a_node_that_is_gone_keeps_what_it_was_told_of_until_it_is_back(host, token):
    with running_node("three") as node:
        fill(node, "items", 10)
        ask(host, node, "make", token)
        away = {**node.access, "url": "http://127.0.0.23:1"}
        state = ask(host, node, "state", token, **away)
        assert (state["valid"], "does not answer" in state["problem"]) == (True, True)
        with pytest.raises(errors.SnapshotFailed, match="does not answer"):
            ask(host, node, "remove", token, **away)
        assert f"phpborg-{token}" in ask(host, node, "remove", token)["removed"]
        assert nothing_left(node)
