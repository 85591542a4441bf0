"""Steps of the verb `docker` carried out here, or in a process that is killed at a chosen moment; trees compared."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from servers.remote import copying, wire
from servers.remote.dockers import journal, restoring
from servers.remote.dockers.engine import Engine

HOSTILE = 'it\'s; $(id) "q"\nline \\ `x`'
NO_TEXT = os.fsdecode(b"caf\xe9 \xff")
Step = tuple[str, dict[str, Any]]


class NoEngine:
    """For steps that only move files: there is no volume."""

    path = "/nowhere/docker.sock"

    def find(self, path: str, **query: Any) -> None:
        return None

    def get(self, path: str, **query: Any) -> list[Any]:
        return []


def request(number: int, op: str, params: Mapping[str, Any], secret: Mapping[str, Any] | None = None) -> wire.Request:
    """As the worker sends it."""
    args = {"action": "do", "number": number, "step": {"op": op, "params": dict(params)}}
    secrets = {} if secret is None else {"params": json.dumps(secret)}
    line = {"v": 1, "nonce": "0" * 16, "verb": "docker", "args": args, "secrets": secrets}
    return wire.Request(json.dumps(line).encode())


def do(engine: Any, token: str, number: int, op: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """One step, its facts."""
    asked = request(number, op, params)
    facts: dict[str, Any] = restoring.do(engine, token, asked, wire.Control(60))["done"]
    return facts


def do_all(engine: Any, token: str, steps: Iterable[Step]) -> list[dict[str, Any]]:
    """All of them, from number 0."""
    return [do(engine, token, number, op, params) for number, (op, params) in enumerate(steps)]


def killed_at(moment: int, work: Callable[[], object]) -> int | None:
    """Do it in a process that is killed (kill -9) at the so-manieth change, before or after it.

    None when it was; else how many moments there were.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        _as_child(moment, work, writer)
    os.close(writer)
    with os.fdopen(reader) as said:
        text = said.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    assert os.WEXITSTATUS(status) == 0, text
    return int(text)


def _as_child(moment: int, work: Callable[[], object], writer: int) -> None:
    seen = 0

    def tick() -> None:
        nonlocal seen
        seen += 1
        if seen == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(function: Callable[..., Any], if_: Callable[..., bool] = lambda *_: True) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            counts = if_(*args)
            if counts:
                tick()
            answer = function(*args, **kwargs)
            if counts:
                tick()
            return answer

        return wrapped

    try:
        for name in ("rename", "mkdir", "rmdir", "unlink"):
            setattr(os, name, around(getattr(os, name)))
        for name in ("_rename_with", "copy_metadata"):
            setattr(copying, name, around(getattr(copying, name)))
        journal.Journal._write = around(journal.Journal._write)
        Engine._ask = around(Engine._ask, lambda _, method, *rest: method != "GET")
        work()
        os.write(writer, str(seen).encode())
        os._exit(0)
    except BaseException:
        os.write(writer, traceback.format_exc().encode())
        os._exit(1)


def tree_of(top: Path, times: bool = True) -> dict[str, tuple[Any, ...]]:
    """Everything at and below a path: kind, mode, owner, times, content. Names as they are."""
    found: dict[str, tuple[Any, ...]] = {}
    paths = [top, *top.rglob("*")] if top.is_dir() and not top.is_symlink() else [top]
    for path in paths:
        if not os.path.lexists(path):
            continue
        status = os.lstat(path)
        content: Any = None
        if stat.S_ISREG(status.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        stamp = status.st_mtime_ns if times or not stat.S_ISDIR(status.st_mode) else None
        found[str(path)] = (status.st_mode, status.st_uid, status.st_gid, stamp, content)
    return found


def stage(directory: Path, token: str, source: str, files: Mapping[str, str], owner: tuple[int, int] = (0, 0)) -> None:
    """As verb `stage` and an extraction leave it: `source` is the path in the archive."""
    place = directory / f".phpborg-restore-{token}"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    top = place / source.lstrip("/")
    top.parent.mkdir(parents=True, exist_ok=True)
    fill(top, files, owner)


def fill(top: Path, files: Mapping[str, str], owner: tuple[int, int] = (0, 0)) -> None:
    """A tree of these files; {"": text} makes a single file."""
    if set(files) == {""}:
        top.write_text(files[""])
        os.chown(top, *owner)
        return
    top.mkdir(exist_ok=True)
    for name, text in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o640)
        os.chown(path, *owner)
    os.chown(top, *owner)
    os.utime(top, ns=(1, 1_600_000_000_123_456_789))


@pytest.fixture(name="journals")
def journals_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Journals and the policy of this test alone."""
    place = tmp_path / "journals"
    monkeypatch.setattr("servers.remote.places.DOCKER_RESTORE", str(place))
    monkeypatch.setattr("servers.remote.places.POLICY", str(tmp_path / "policy.json"))
    return place
