"""Restores land by the rule, entry by entry, and never through a link."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from servers import errors
from servers.transport import host_for
from servers.transport.base import Host
from tests.support.sshd import local_target

pytestmark = pytest.mark.real


@pytest.fixture
def local(lab) -> Host:
    return host_for(local_target(lab))


class Restore:
    """A restore whose "extraction" the test makes itself."""

    def __init__(self, host: Host, target: Path, token: str) -> None:
        self.host, self.target, self.token = host, target, token
        self.staged = Path(host.call("stage", {"target": str(target), "token": token})["path"])

    def place(self, conflict: str = "keep", **more):
        args = {"target": str(self.target), "token": self.token, "conflict": conflict, **more}
        return self.host.call("place", args)

    def done(self) -> None:
        self.host.call("unstage", {"target": str(self.target), "token": self.token})


@pytest.fixture
def restore(host, place, token):
    made = Restore(host, place / "target", token)
    yield made
    made.done()
    assert not made.staged.exists()


def write(path: Path, text: str, when: int = 1_700_000_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (when, when))
    return path


def test_staging_is_private_and_says_how_much_room_there_is(host, place, token):
    answer = host.call("stage", {"target": str(place / "a/b"), "token": token})
    assert answer["free_bytes"] > 0
    assert answer["created"] == [f"{place}/a", f"{place}/a/b"]
    assert stat.S_IMODE(os.stat(answer["path"]).st_mode) == 0o700
    assert stat.S_IMODE((place / "a").stat().st_mode) == 0o755
    with pytest.raises(errors.RemoteFailed, match="exists"):
        host.call("stage", {"target": str(place / "a/b"), "token": token})
    host.call("unstage", {"target": str(place / "a/b"), "token": token})
    host.call("unstage", {"target": str(place / "a/b"), "token": token})


def test_a_tree_that_is_not_there_comes_whole(restore):
    write(restore.staged / "etc/app/conf", "x")
    (restore.staged / "etc/app/link").symlink_to("../../outside")
    (restore.staged / "etc/app").chmod(0o710)
    os.chown(restore.staged / "etc/app/conf", 12345, 54321)
    os.setxattr(restore.staged / "etc/app/conf", "user.note", b"kept")
    report = restore.place()
    assert (report["placed"], report["failed"]) == (4, 0)
    conf = restore.target / "etc/app/conf"
    assert (conf.stat().st_uid, conf.stat().st_gid, conf.stat().st_mtime) == (12345, 54321, 1_700_000_000)
    assert os.getxattr(conf, "user.note") == b"kept"
    assert stat.S_IMODE(conf.parent.stat().st_mode) == 0o710
    assert os.readlink(restore.target / "etc/app/link") == "../../outside"


@pytest.mark.parametrize(
    ("rule", "content", "counted"),
    [("keep", "old", "kept"), ("replace", "new", "replaced"), ("rename", "old", "renamed")],
)
def test_a_file_in_the_way(restore, rule, content, counted):
    write(restore.target / "d/f", "old")
    write(restore.staged / "d/f", "new")
    write(restore.staged / "d/g", "more")
    report = restore.place(rule)
    assert (restore.target / "d/f").read_text() == content
    assert (restore.target / "d/g").read_text() == "more"
    assert report[counted] == 1
    assert report["lists"][counted][0]["path"] == "d/f"
    if rule == "rename":
        assert (restore.target / "d/f.restored").read_text() == "new"


def test_newer_goes_by_the_time_of_change(restore):
    write(restore.target / "older", "target", 1000)
    write(restore.target / "newer", "target", 3000)
    write(restore.staged / "older", "archive", 2000)
    write(restore.staged / "newer", "archive", 2000)
    report = restore.place("newer")
    assert (restore.target / "older").read_text() == "archive"
    assert (restore.target / "newer").read_text() == "target"
    assert (report["replaced"], report["kept"]) == (1, 1)


def test_replace_gives_directories_their_archived_face_keep_does_not(restore):
    for name in ("one", "two"):
        write(restore.target / name / "old", "old")
        (restore.target / name).chmod(0o755)
    write(restore.staged / "one/f", "new")
    (restore.staged / "one").chmod(0o700)
    os.utime(restore.staged / "one", (1_600_000_000, 1_600_000_000))
    restore.place("replace", items=["one"])
    assert stat.S_IMODE((restore.target / "one").stat().st_mode) == 0o700
    assert (restore.target / "one").stat().st_mtime == 1_600_000_000
    write(restore.staged / "two/f", "new")
    (restore.staged / "two").chmod(0o700)
    restore.place("keep", items=["two"])
    assert stat.S_IMODE((restore.target / "two").stat().st_mode) == 0o755
    assert (restore.target / "two/old").exists()


def test_the_chosen_folder_lands_without_its_parents(restore):
    write(restore.staged / "tmp/rx/s5/data/cache.db", "x")
    report = restore.place(items=["tmp/rx/s5/data"], strip=True)
    assert report["placed"] == 2
    assert (restore.target / "data/cache.db").read_text() == "x"
    assert sorted(os.listdir(restore.target)) == sorted(["data", restore.staged.name])


def test_two_items_of_one_name_are_not_put_into_one_place(restore):
    write(restore.staged / "a/x", "1")
    write(restore.staged / "b/x", "2")
    with pytest.raises(errors.RequestRefused, match="same name"):
        restore.place(items=["a/x", "b/x"], strip=True)
    assert restore.place(items=["a/x", "b/x"])["placed"] == 2


def test_an_item_that_was_not_extracted_is_a_failure(restore):
    report = restore.place(items=["gone/file"])
    assert (report["placed"], report["failed"]) == (0, 1)
    assert report["lists"]["failed"][0]["path"] == "gone/file"


def test_links_in_the_target_are_never_followed(restore, place):
    outside = place / "outside"
    write(outside / "f", "safe")
    restore.target.mkdir(exist_ok=True)
    (restore.target / "d").symlink_to(outside)
    write(restore.staged / "d/f", "evil")
    report = restore.place("keep")
    assert report["kept"] == 1
    assert (outside / "f").read_text() == "safe"
    report = restore.place("replace")
    assert (outside / "f").read_text() == "safe"
    assert not (restore.target / "d").is_symlink()
    assert (restore.target / "d/f").read_text() == "evil"


@pytest.mark.parametrize("rule", ["keep", "replace", "rename", "newer"])
def test_links_of_the_archive_stay_links(restore, rule):
    restore.staged.joinpath("l").mkdir()
    for name, to in (("absolute", "/etc/passwd"), ("relative", "../x"), ("broken", "no/such")):
        (restore.staged / "l" / name).symlink_to(to)
    restore.place(rule)
    assert {name: os.readlink(restore.target / "l" / name) for name in ("absolute", "relative", "broken")} == {
        "absolute": "/etc/passwd", "relative": "../x", "broken": "no/such",
    }  # fmt: skip


def test_a_directory_in_the_way_of_a_file_stays(restore):
    write(restore.target / "x/inside", "safe")
    write(restore.staged / "x", "file")
    report = restore.place("replace")
    assert report["failed"] == 1
    assert (restore.target / "x/inside").read_text() == "safe"


def test_awkward_names(restore):
    names = ["-rf", "sh:z", "re:x", "*.txt", "new\nline", 'q"\\', "é" * 127, "n" * 255]
    for name in names:
        write(restore.staged / "d" / name, name)
        write(restore.target / "d" / name, "old")
    (restore.staged / "d" / os.fsdecode(b"\xff")).write_text("bytes")
    report = restore.place("rename")
    assert (report["renamed"], report["placed"], report["failed"]) == (len(names), 1, 0)
    assert {(restore.target / "d" / name).read_text() for name in names} == {"old"}


def test_special_files_and_sparse_ones_cross_filesystems(local, place, token):
    mounted = place / "target" / "mnt"
    mounted.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(mounted)], check=True)
    try:
        restore = Restore(local, place / "target", token)
        write(restore.staged / "mnt/d/f", "x" * 100)
        os.setxattr(restore.staged / "mnt/d/f", "trusted.note", b"kept")
        os.chown(restore.staged / "mnt/d/f", 123, 456)
        (restore.staged / "mnt/d/link").symlink_to("f")
        os.mkfifo(restore.staged / "mnt/d/fifo")
        with (restore.staged / "mnt/d/sparse").open("wb") as file:
            file.truncate(1 << 30)
            file.seek(5 << 20)
            file.write(b"data")
        write(mounted / "taken", "old")
        write(restore.staged / "mnt/taken", "new")
        report = restore.place("replace")
        assert report["failed"] == 0, report
        assert (mounted / "d/f").stat().st_uid == 123
        assert os.getxattr(mounted / "d/f", "trusted.note") == b"kept"
        assert (mounted / "d/f").stat().st_mtime == 1_700_000_000
        assert stat.S_ISFIFO((mounted / "d/fifo").stat().st_mode)
        assert (mounted / "d/sparse").stat().st_size == 1 << 30
        assert (mounted / "taken").read_text() == "new"
        assert not [name for name in os.listdir(mounted) if name.startswith(".phpborg")]
        restore.done()
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_removal_never_crosses_a_mount(local, place, token):
    restore = Restore(local, place / "target", token)
    other = place / "other"
    write(other / "precious", "safe")
    (restore.staged / "m").mkdir()
    subprocess.run(["mount", "--bind", str(other), str(restore.staged / "m")], check=True)
    try:
        with pytest.raises(errors.UnsafePath, match="mounted"):
            restore.done()
        assert (other / "precious").read_text() == "safe"
    finally:
        subprocess.run(["umount", str(restore.staged / "m")], check=True)
    restore.done()


def test_an_acl_comes_along(restore, lab):
    write(restore.staged / "d/f", "x")
    subprocess.run(["setfacl", "-m", f"u:{lab.account}:r", str(restore.staged / "d/f")], check=True)
    subprocess.run(["setfacl", "-d", "-m", f"u:{lab.account}:rx", str(restore.staged / "d")], check=True)
    (restore.target / "d").mkdir(parents=True)
    restore.place("replace")
    for name, mark in (("d", "default:user:"), ("d/f", "user:")):
        shown = subprocess.run(["getfacl", "-p", str(restore.target / name)], capture_output=True, text=True).stdout
        assert f"{mark}{lab.account}:" in shown


@pytest.fixture(params=["local", "root"])
def governed(request, lab, sshd, place):
    """A host whose /etc/phpborg is a directory of this test (other runs on this machine keep theirs)."""
    config = place / "config"
    config.mkdir()
    helper = place / "governed-helper"
    helper.write_text(f"#!/bin/sh\nexec unshare -m sh -c 'mount --bind {config} /etc/phpborg && exec {lab.helper}'\n")
    helper.chmod(0o755)
    target = local_target(lab) if request.param == "local" else sshd.target()
    Path("/etc/phpborg").mkdir(mode=0o755, exist_ok=True)
    return host_for(replace(target, helper_path=str(helper))), config / "policy.json"


def test_the_policy_of_the_server_is_obeyed(governed, place, token):
    host, policy = governed
    policy.write_text(f'{{"restore_roots": ["{place}/allowed"], "hooks": false, "read_roots": ["/home"]}}')
    with pytest.raises(errors.PolicyForbids):
        host.call("stage", {"target": str(place / "allowedx"), "token": token})
    host.call("stage", {"target": str(place / "allowed/x"), "token": token})
    host.call("unstage", {"target": str(place / "allowed/x"), "token": token})
    with pytest.raises(errors.PolicyForbids):
        host.call("hooks")
    with pytest.raises(errors.PolicyForbids, match="backup of"):
        host.run("borg", {"argv": ["create", "/srv/r::a", "/etc"], "link": {"mode": "local"}})
    names = [entry["name"] for entry in host.call("list_dir", {"path": "/"})["entries"]]
    assert names == sorted({"home", str(place).split("/")[1]})
    for verb, args in (("list_dir", {"path": "/etc"}), ("paths", {"paths": ["/home", "/etc/shadow"]})):
        with pytest.raises(errors.PolicyForbids, match="look at /etc"):
            host.call(verb, args)
    assert [mount["path"] for mount in host.call("paths", {"paths": ["/"]})["paths"][0]["mounts"]] == ["/"]
    (place / "allowed").mkdir(exist_ok=True)
    (place / "allowed/link").symlink_to("/etc")
    for verb, args in (
        ("list_dir", {"path": f"{place}/allowed/link"}),
        ("paths", {"paths": [f"{place}/allowed/link/shadow"]}),
    ):
        with pytest.raises(errors.PolicyForbids, match="is a link"):
            host.call(verb, args)
    assert host.call("paths", {"paths": [f"{place}/allowed/link"]})["paths"][0]["kind"] == "link"
    assert host.call("paths", {"paths": [f"{place}/allowed/not/yet/there"]})["paths"][0]["exists"] is False
    for text, problem in (("not json", "not JSON"), ('{"restore_root": []}', "unknown keys")):
        policy.write_text(text)
        with pytest.raises(errors.PolicyForbids, match=problem):
            host.call("stage", {"target": str(place / "allowed/x"), "token": token})
    policy.write_text("{}")
    policy.chmod(0o666)
    with pytest.raises(errors.PolicyForbids, match="nobody else"):
        host.call("hooks")


def test_a_socket_in_the_way_is_no_obstacle(restore):
    restore.target.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(restore.target / "s"))
    write(restore.staged / "s", "file")
    assert restore.place("replace")["replaced"] == 1
    assert (restore.target / "s").read_text() == "file"
