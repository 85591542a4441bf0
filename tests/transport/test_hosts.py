"""The same verbs on this machine, as root over ssh, and by sudo over ssh."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from servers import errors
from servers.remote.build import helper_version
from servers.transport.tunnel import link
from tests.support.sshd import processes_with, wait_until
from tests.transport.conftest import PASSPHRASE

pytestmark = pytest.mark.real


def backup(host, repository, name, *sources, token, options=(), **more):
    with link(host, str(repository), mode="tunnel", token=token) as way:
        argv = ["create", "--json", "--log-json", *options, way.location(name), *map(str, sources)]
        return host.run("borg", {"argv": argv}, secrets={"passphrase": PASSPHRASE}, link=way, **more)


def test_hello(host):
    facts = host.call("hello")
    assert (facts["user"], facts["uid"]) == ("root", 0)
    assert facts["version"] == helper_version()
    assert facts["borg"]["version"]
    assert facts["base_free_bytes"] > 0
    assert abs(facts["time"] - time.time()) < 10


def test_paths(host, place):
    (place / "file").touch()
    (place / "dangling").symlink_to("/no/such")
    os.mkdir(os.fsencode(place) + b"/\xff")
    asked = [
        str(place),
        str(place / "file"),
        str(place / "dangling"),
        str(place / "missing"),
        f"{place}/\udcff",
        "/proc",
    ]
    found = host.call("paths", {"paths": asked})["paths"]
    assert [fact["kind"] for fact in found] == ["directory", "file", "link", None, "directory", "directory"]
    assert found[2]["dangling"]
    assert not found[3]["exists"]
    assert found[4]["path"] == f"{place}/\udcff"
    assert found[5]["mounts"][0] == {"path": "/proc", "type": "proc"}


def test_hello_looks_at_paths_in_the_same_breath(host, place):
    answer = host.call("hello", {"paths": [str(place), "/no/such"]})
    assert answer["version"] == helper_version()
    asked = host.call("paths", {"paths": [str(place), "/no/such"]})["paths"]
    for fact in [*answer["paths"], *asked]:
        assert fact.pop("free_bytes") > 0
    assert answer["paths"] == asked


def test_list_dir_pages(host, place):
    for number in range(25):
        (place / f"f{number:02}").touch()
    (place / "dir").mkdir()
    first = host.call("list_dir", {"path": str(place), "limit": 10})
    assert first["more"]
    assert first["entries"][0]["kind"] == "directory"
    after = first["entries"][-1]["name"]
    rest = host.call("list_dir", {"path": str(place), "limit": 100, "after": after})
    assert len(first["entries"] + rest["entries"]) == 26
    assert not rest["more"]
    only = host.call("list_dir", {"path": str(place), "directories_only": True})
    assert [entry["name"] for entry in only["entries"]] == ["dir"]


def test_a_refusal_is_a_sentence(host):
    with pytest.raises(errors.UnsafePath, match="must not contain"):
        host.call("list_dir", {"path": "/etc/../root"})
    with pytest.raises(errors.HelperOutdated):
        host.call("future_verb")
    with pytest.raises(errors.RemoteFailed, match="No such file"):
        host.call("list_dir", {"path": "/no/such"})


def test_exclude_preview_is_what_borg_would_do(host, place):
    for name in ("a/keep.txt", "a/drop.log", "cache/x", "cache/y/z"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).touch()
    options = ["--exclude", "*.log", "--exclude", str(place / "cache"), "--exclude", "/never", "--exclude", "re:/z$"]
    found = host.call("exclude_preview", {"paths": [str(place)], "options": options}, timeout=60)
    assert found["complete"]
    assert sorted(found["dropped"]) == [f"{place}/a/drop.log", f"{place}/cache"]
    assert found["included"] == 3
    assert [exclude["matched"] for exclude in found["excludes"]] == [True, True, False, False]
    assert not list(Path("/tmp").glob("phpborg-preview-*"))


def test_backup_list_restore(host, place, repository, token):
    source = place / "source"
    (source / "data").mkdir(parents=True)
    names = ["-rf", "sh:z", "z", "new\nline.txt", 'héllo "q" \\ back.txt', "é" * 127]
    for name in names:
        (source / "data" / name).write_text(name)
    (source / "data" / "link").symlink_to("/no/such")
    (Path(os.fsdecode(os.fsencode(source) + b"/data/\xff"))).write_text("bytes")
    result = backup(host, repository, "one", source, token=token)
    assert result.exit.code == 0, result.exit.stderr_tail
    assert json.loads(result.exit.stdout)["archive"]["stats"]["nfiles"] == 7
    target = place / "recovery" / "here"
    wanted = f"{str(source).lstrip('/')}/data"
    host.call("stage", {"target": str(target), "token": token})
    with link(host, str(repository), mode="tunnel", token=token) as way:
        listed = host.run(
            "borg", {"argv": ["list", "--json", way.repository]}, secrets={"passphrase": PASSPHRASE}, link=way
        )
        assert [archive["name"] for archive in json.loads(listed.exit.stdout)["archives"]] == ["one"]
        argv = ["extract", "--numeric-ids", way.location("one"), f"pp:{wanted}"]
        args = {"argv": argv, "staging": {"target": str(target), "token": token}}
        done = host.run("borg", args, secrets={"passphrase": PASSPHRASE}, link=way)
    assert done.exit.code == 0, done.exit.stderr_tail
    items = {"items": [wanted], "strip": True}
    report = host.call("place", {"target": str(target), "token": token, "conflict": "keep", **items})
    assert report["placed"] == len(names) + 3
    assert report["failed"] == 0
    host.call("unstage", {"target": str(target), "token": token})
    assert os.listdir(target) == ["data"]
    assert sorted(os.listdir(os.fsencode(target / "data"))) == sorted(os.listdir(os.fsencode(source / "data")))
    for name in names:
        assert (target / "data" / name).read_text() == name
    assert os.readlink(target / "data" / "link") == "/no/such"
    assert (place / "recovery").stat().st_mode & 0o777 == 0o755


def test_wrong_passphrase_is_borgs_own_failure(host, place, repository, token):
    with link(host, str(repository), mode="tunnel", token=token) as way:
        args = {"argv": ["list", "--log-json", way.repository]}
        result = host.run("borg", args, secrets={"passphrase": "wrong"}, link=way)
    assert result.exit.code == 2
    assert "PassphraseWrong" in result.exit.stderr_tail
    assert result.launcher.code == 0


def test_stop_lets_borg_finish_and_leaves_nothing(host, place, repository, token):
    source = place / "big"
    source.write_bytes(os.urandom(60 << 20))
    stop = threading.Event()
    seen: list[bytes] = []

    def heard(line: bytes) -> None:
        seen.append(line)
        if b"archive_progress" in line:
            stop.set()

    began = time.monotonic()
    options = ("--progress", "--upload-ratelimit=6000", "--checkpoint-interval=1")
    result = backup(host, repository, "one", source, token=token, options=options, stop=stop, on_stderr=heard)
    assert result.exit.stopped
    assert result.exit.code != 0
    assert time.monotonic() - began < 45
    wait_until(lambda: not processes_with(token), 10, "processes are left")
    assert not (repository / "lock.exclusive").exists()
    # And the next run succeeds.
    source.write_bytes(b"small")
    assert backup(host, repository, "two", source, token=token).exit.code == 0


def test_the_time_limit_is_a_stop(host, place, repository, token):
    source = place / "big"
    source.write_bytes(os.urandom(60 << 20))
    # The rate limit is for connections only; the compression makes the local way slow.
    options = ("--upload-ratelimit=500", "--compression=lzma,9")
    result = backup(host, repository, "one", source, token=token, options=options, timeout=4)
    assert result.exit.stopped
    assert result.exit.code != 0


def test_the_way_to_the_repository_leaves_nothing(host, place, repository, token):
    assert backup(host, repository, "one", "/etc/hostname", token=token).exit.code == 0
    assert not processes_with(token)
    for directory in ("/run/phpborg", "/tmp"):
        assert not [name for name in (os.listdir(directory) if os.path.isdir(directory) else []) if token in name]
