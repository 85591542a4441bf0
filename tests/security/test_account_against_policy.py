"""The account that may run phpborg-remote by sudo tries to get round root's policy."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from servers.remote import policy, wire
from tests.transport.test_sudo_escape import Account, refused

NONE = {"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}


@pytest.mark.real
def test_a_repository_of_the_account_is_not_opened_by_its_path(lab, place):
    """Its `data/1` is a link: root's borg would write segments of the account's choice there."""
    repository = place / "repository"
    env = {"PATH": "/usr/bin:/bin", "BORG_BASE_DIR": str(place / "base"), **NONE}
    subprocess.run(["borg", "init", "-e", "none", str(repository)], check=True, env=env, capture_output=True)
    (place / "victim").mkdir()
    shutil.rmtree(repository / "data/0")
    (repository / "data/0").symlink_to(place / "victim")
    shutil.chown(repository, lab.account)
    (place / "source").mkdir()
    (place / "source/line").write_text("evil ALL = (ALL) NOPASSWD: ALL\n")
    argv = ["create", f"{repository}::x", str(place / "source")]
    result = Account(lab).ask("borg", {"argv": argv, "link": {"mode": "local"}, "env": NONE})
    assert refused(result) == "invalid"
    assert list((place / "victim").iterdir()) == []


def test_a_link_on_the_way_does_not_lead_out_of_what_may_be_read(tmp_path, monkeypatch):
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"read_roots": [str(tmp_path / "data")]}))
    monkeypatch.setattr(policy.places, "POLICY", str(file))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/link").symlink_to("/etc")
    monkeypatch.setattr(policy, "load", lambda: json.loads(file.read_text()))
    with pytest.raises(wire.Refused, match="is a link"):
        policy.check_read(str(tmp_path / "data/link/shadow").encode(), real=True)
    policy.check_read(str(tmp_path / "data/link").encode(), real=True)  # itself, as a link


@pytest.mark.parametrize(("owner", "mode"), [(4242, 0o755), (0, 0o777)])
def test_a_directory_that_the_account_can_change_is_no_way_to_what_may_be_read(monkeypatch, tmp_path, owner, mode):
    tmp_path.chmod(0o755)
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(mode)
    shutil.os.chown(folder, owner, 0)  # type: ignore[attr-defined]
    monkeypatch.setenv("SUDO_UID", "4242")
    monkeypatch.setattr(policy, "load", lambda: {"read_roots": [str(Path(tmp_path))]})
    with pytest.raises(wire.Refused, match="changed by others"):
        policy.check_read(str(folder / "file").encode(), real=True)
