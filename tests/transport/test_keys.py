"""Keys, fingerprints, and our block in authorized_keys."""

from __future__ import annotations

import stat
import subprocess

import pytest

from servers.errors import UnusableKey
from servers.transport.authorized_keys import BEGIN, Grant, converge, line_of
from servers.transport.keys import fingerprint, installation_id, make_key_pair, public_line


@pytest.fixture(scope="module")
def pair():
    return make_key_pair("test")


def test_the_fingerprint_is_what_openssh_shows(pair, tmp_path):
    (tmp_path / "key.pub").write_text(pair.public)
    shown = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "key.pub")], capture_output=True, text=True).stdout
    assert fingerprint(pair.public) == shown.split()[1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        'command="id" ssh-ed25519 ' + "A" * 68,
        "ssh-ed25519 " + "A" * 68 + "\nssh-rsa x",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    ],
)
def test_only_a_plain_public_key_is_one(text):
    with pytest.raises(UnusableKey):
        public_line(text)


def test_a_grant_is_a_restricted_forced_command(pair):
    line = line_of(Grant(pair.public, ("/srv/jaga FS", "/srv/b"), "web 1"))
    key = " ".join(pair.public.split()[:2])
    assert line == (
        'restrict,command="/usr/bin/borg serve --append-only --restrict-to-repository /srv/b '
        f"--restrict-to-repository '/srv/jaga FS'\" {key} phpborg-web_1"
    )


@pytest.mark.parametrize("path", ['/a"b', "/a\nb", "/a'b", "/a\\b", "a/b", "/a/../b", "/a/", "/a\udcff", "/a{b}", ""])
def test_a_path_that_could_break_out_is_refused_before_anything_is_written(pair, tmp_path, path):
    file = tmp_path / "authorized_keys"
    file.write_text("kept\n")
    with pytest.raises(UnusableKey):
        converge([Grant(pair.public, ("/fine",)), Grant(pair.public, (path,))], file)
    assert file.read_text() == "kept\n"


def test_other_lines_and_the_mode_stay(pair, tmp_path):
    file = tmp_path / "authorized_keys"
    file.write_bytes(b"ssh-ed25519 AAAA admin\n# caf\xe9\n")
    file.chmod(0o640)
    assert converge([Grant(pair.public, ("/srv/a",), "one")], file)
    assert not converge([Grant(pair.public, ("/srv/a",), "one")], file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert file.read_bytes().startswith(b"ssh-ed25519 AAAA admin\n# caf\xe9\n" + BEGIN.encode())
    assert converge([], file)
    assert file.read_bytes() == b"ssh-ed25519 AAAA admin\n# caf\xe9\n"


def test_a_block_without_its_end_does_not_swallow_the_rest(pair, tmp_path):
    file = tmp_path / "authorized_keys"
    file.write_text(f"{BEGIN}\n{line_of(Grant(pair.public, ('/old',)))}\nssh-ed25519 BBBB admin\n")
    converge([Grant(pair.public, ("/new",))], file)
    text = file.read_text()
    assert "ssh-ed25519 BBBB admin" in text
    assert "/old" not in text


def test_a_new_file_is_private(pair, tmp_path):
    file = tmp_path / "new" / "authorized_keys"
    converge([Grant(pair.public, ("/srv/a",))], file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_installation_keeps_its_id():
    assert installation_id() == installation_id()
