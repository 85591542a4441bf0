"""Settings files of a server in an archive of streams: plain, small, reached by no link of another account."""

from __future__ import annotations

import os
import pwd

import pytest

from servers import errors
from servers.remote import wire
from servers.remote.producers import files

pytestmark = pytest.mark.real

by_sudo = pytest.mark.parametrize("host", ["sudo"], indirect=True)


def row(path) -> dict[str, object]:
    return {"name": "config/x", "producer": "file", "path": str(path)}


def test_a_settings_file_is_a_stream(make, borg, repository, place):
    path = place / "a b.conf"
    path.write_bytes(b"port = 5432\n" * 200_000)
    path.chmod(0o600)
    ended = make("create", streams=[row(path)])
    assert ended.exit.code == 0, ended.exit.stderr_tail
    assert borg("extract", "--stdout", f"{repository}::one", "config/x") == path.read_bytes()


@by_sudo
def test_a_file_that_is_missing_is_refused_before_anything_starts(make, borg, repository, place):
    with pytest.raises(errors.RemotePathMissing, match=f"there is no {place}/no.conf"):
        make("create", streams=[row(place / "no.conf")])
    assert borg("list", "--short", str(repository)) == b""


def test_links_of_root_are_followed_and_others_are_not(place):
    """As /etc/mysql/my.cnf leads to /etc/alternatives; who owns the server's folder could name any file."""
    (place / "real").write_text("x")
    (place / "first").symlink_to("second")
    (place / "second").symlink_to(place / "real")
    found = files.opened(os.fsencode(place / "first"))
    assert (os.read(found.descriptor, 9), found.place) == (b"x", os.fsencode(place / "real"))
    os.close(found.descriptor)
    theirs = place / "theirs"
    theirs.mkdir()
    os.chown(theirs, pwd.getpwnam("nobody").pw_uid, -1)
    (theirs / "link").symlink_to(place / "real")
    with pytest.raises(wire.Refused, match="others may change"):
        files.opened(os.fsencode(theirs / "link"))
    (place / "way").symlink_to(place)
    with pytest.raises(wire.Refused, match="in the way"):
        files.opened(os.fsencode(place / "way" / "real"))
    (place / "round").symlink_to("round")
    with pytest.raises(wire.Refused, match="too many links"):
        files.opened(os.fsencode(place / "round"))


def test_only_plain_and_small_files(place):
    os.mkfifo(place / "pipe")
    with pytest.raises(wire.Refused, match="not a plain file"):
        files.opened(os.fsencode(place / "pipe"))
    with pytest.raises(wire.Refused, match="not a plain file"):
        files.opened(os.fsencode(place))
    with (place / "large").open("wb") as file:
        file.truncate(files.MOST_BYTES + 1)
    with pytest.raises(wire.Refused, match="larger than 16 MiB"):
        files.opened(os.fsencode(place / "large"))
