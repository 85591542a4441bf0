"""Each system check: silent on a sound machine, one message with a remedy on a broken one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.core import checks as framework
from django.test import override_settings

from phpborg import checks
from phpborg.crypto import EncryptedField, create_key_file


def ids(messages):
    return [message.id for message in messages]


@pytest.fixture
def key_file(tmp_path, settings):
    settings.ENCRYPTION_KEY_FILE = tmp_path / "key"
    create_key_file(settings.ENCRYPTION_KEY_FILE)
    return settings.ENCRYPTION_KEY_FILE


def test_a_sound_key_file_is_silent(key_file):
    assert checks.check_key_file(None) == []


def test_a_missing_key_file_is_an_error(key_file):
    key_file.unlink()
    assert ids(checks.check_key_file(None)) == ["phpborg.E001"]


def test_a_key_file_that_others_can_read_is_an_error(key_file):
    key_file.chmod(0o640)
    (message,) = checks.check_key_file(None)
    assert message.id == "phpborg.E002"
    assert "0640" in message.msg
    assert f"chmod 600 {key_file}" in message.hint


@pytest.mark.parametrize("content", [b"", b"\n\n", b"not a key\n", b"\xff\xfe"])
def test_a_key_file_without_a_key_is_an_error(key_file, content):
    key_file.write_bytes(content)
    assert ids(checks.check_key_file(None)) == ["phpborg.E003"]


class OneRow:
    """A table with one row, for a check that only wants the newest value of one column."""

    def __init__(self, value):
        self.value = value

    def exclude(self, **_):
        return self

    order_by = values_list = lambda self, *_, **__: self

    def first(self):
        return self.value


def test_the_right_key_opens_the_stored_secrets(key_file, monkeypatch):
    _one_secret(monkeypatch, EncryptedField.seal("a passphrase"))
    assert checks.check_key_opens_secrets(None, databases=["default"]) == []


def test_another_key_is_an_error_that_names_the_column(key_file, monkeypatch):
    _one_secret(monkeypatch, EncryptedField.seal("a passphrase"))
    key_file.unlink()
    create_key_file(key_file)
    os.utime(key_file, (1, 1))
    (message,) = checks.check_key_opens_secrets(None, databases=["default"])
    assert message.id == "phpborg.E004"
    assert "Vault.secret" in message.msg


def test_stored_secrets_are_left_alone_without_a_database(key_file, monkeypatch):
    _one_secret(monkeypatch, EncryptedField("broken"))
    assert checks.check_key_opens_secrets(None) == []


def _one_secret(monkeypatch, value):
    field = EncryptedField()
    field.name = "secret"

    class Vault:
        class _meta:
            label = "x.Vault"
            local_fields = [field]

        _base_manager = OneRow(value)

    monkeypatch.setattr(checks.apps, "get_models", lambda: [Vault])


def test_a_private_var_is_silent(tmp_path, settings):
    tmp_path.chmod(0o700)
    settings.VAR_DIR = tmp_path
    assert checks.check_var(None) == []


def test_a_var_that_is_missing_is_an_error(tmp_path, settings):
    settings.VAR_DIR = tmp_path / "gone"
    assert ids(checks.check_var(None)) == ["phpborg.E010"]


def test_a_var_that_is_open_is_a_warning(tmp_path, settings):
    tmp_path.chmod(0o755)
    settings.VAR_DIR = tmp_path
    assert ids(checks.check_var(None)) == ["phpborg.W011"]


def program(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("version", ["1.2.4", "1.4.0", "1.2.0b3"])
def test_supported_borgs_are_silent(tmp_path, settings, version):
    settings.BORG_BINARY = program(tmp_path / "borg", f"echo borg {version}")
    assert checks.check_borg_present(None) == checks.check_borg_version(None) == []


@pytest.mark.parametrize("version", ["1.1.17", "2.0.0b11"])
def test_other_borgs_are_an_error(tmp_path, settings, version):
    settings.BORG_BINARY = program(tmp_path / "borg", f"echo borg {version}")
    (message,) = checks.check_borg_version(None)
    assert message.id == "phpborg.E022"
    assert version in message.msg


def test_a_borg_that_does_not_start_is_an_error(tmp_path, settings):
    settings.BORG_BINARY = program(tmp_path / "borg", "echo no libssl >&2; exit 127")
    (message,) = checks.check_borg_version(None)
    assert message.id == "phpborg.E021"
    assert "no libssl" in message.msg


def test_no_borg_is_one_error_not_two(tmp_path, settings):
    settings.BORG_BINARY = str(tmp_path / "borg")
    assert ids(checks.check_borg_present(None)) == ["phpborg.E020"]
    assert checks.check_borg_version(None) == []


def test_a_redis_that_does_not_answer_is_an_error(tmp_path, settings):
    settings.REDIS_URL = f"unix://{tmp_path / 'redis.sock'}"
    (message,) = checks.check_redis(None)
    assert message.id == "phpborg.E025"
    assert "REDIS_URL" in message.hint


def test_redis_is_asked_only_by_the_services_tag():
    """`migrate` and `check` must work before Redis runs."""
    quick = framework.registry.registry.get_checks(include_deployment_checks=False)
    assert checks.check_redis not in quick
    assert checks.check_borg_version not in quick
    assert "services" in checks.check_redis.tags


def test_missing_fuse_is_two_warnings(monkeypatch):
    monkeypatch.setattr(checks.shutil, "which", lambda _name: None)
    monkeypatch.setattr(checks.os, "access", lambda *_: False)
    assert ids(checks.check_fuse(None)) == ["phpborg.W030", "phpborg.W031"]


def test_present_fuse_is_silent(monkeypatch):
    monkeypatch.setattr(checks.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(checks.os, "access", lambda *_: True)
    assert checks.check_fuse(None) == []


def test_root_needs_no_helper(tmp_path, settings, monkeypatch):
    settings.REMOTE_HELPER = tmp_path / "helper"
    monkeypatch.setattr(checks.os, "geteuid", lambda: 0)
    assert checks.check_helper(None) == checks.check_sudo(None) == []


def test_without_root_a_missing_helper_is_a_warning(tmp_path, settings, monkeypatch):
    settings.REMOTE_HELPER = tmp_path / "helper"
    monkeypatch.setattr(checks.os, "geteuid", lambda: 1000)
    assert ids(checks.check_helper(None)) == ["phpborg.W040"]


def test_a_helper_that_others_can_change_is_an_error(tmp_path, settings, monkeypatch):
    settings.REMOTE_HELPER = tmp_path / "helper"
    settings.REMOTE_HELPER.touch()
    settings.REMOTE_HELPER.chmod(0o777)
    monkeypatch.setattr(checks.os, "geteuid", lambda: 1000)
    assert ids(checks.check_helper(None)) == ["phpborg.E041"]


def test_a_sudo_that_asks_is_a_warning_with_its_own_words(tmp_path, settings, monkeypatch):
    settings.REMOTE_HELPER = tmp_path / "helper"
    settings.REMOTE_HELPER.touch()
    program(tmp_path / "sudo", "echo 'sudo: a password is required' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(checks.os, "geteuid", lambda: 1000)
    (message,) = checks.check_sudo(None)
    assert message.id == "phpborg.W042"
    assert "a password is required" in message.msg


@pytest.mark.parametrize(("first", "expected"), [("mnt:[1]", []), ("mnt:[2]", ["phpborg.W050"])])
def test_mounts_of_its_own_are_a_warning(monkeypatch, first, expected):
    links = {"/proc/self/ns/mnt": "mnt:[1]", "/proc/1/ns/mnt": first}
    monkeypatch.setattr(checks.os, "readlink", links.__getitem__)
    assert ids(checks.check_mount_namespace(None)) == expected


def test_a_namespace_that_may_not_be_read_is_silent(monkeypatch):
    def refuse(_path):
        raise PermissionError

    monkeypatch.setattr(checks.os, "readlink", refuse)
    assert checks.check_mount_namespace(None) == []


@pytest.mark.parametrize("bind", ["127.0.0.1", "::1", "localhost", "127.0.0.9"])
def test_on_loopback_nothing_is_asked(monkeypatch, bind):
    monkeypatch.setenv("PHPBORG_BIND", bind)
    with override_settings(ALLOWED_HOSTS=["localhost"], DEBUG=True, HTTPS=False):
        assert checks.check_reachable(None) == []


def test_on_the_network_each_omission_is_a_warning(monkeypatch):
    monkeypatch.setenv("PHPBORG_BIND", "0.0.0.0")
    with override_settings(ALLOWED_HOSTS=["localhost", "127.0.0.1", "[::1]"], DEBUG=True, HTTPS=False):
        assert ids(checks.check_reachable(None)) == ["phpborg.W060", "phpborg.W061", "phpborg.W062"]
    with override_settings(ALLOWED_HOSTS=["backup.example.org"], DEBUG=False, HTTPS=True):
        assert checks.check_reachable(None) == []


def test_sqlite_on_a_network_disk_is_a_warning(monkeypatch):
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": "/srv/db"}
    monkeypatch.setattr(checks, "connections", {"default": type("C", (), {"settings_dict": database})})
    monkeypatch.setattr(checks, "filesystem_of", lambda _path: "nfs4")
    assert ids(checks.check_sqlite_disk(None)) == ["phpborg.W070"]
    monkeypatch.setattr(checks, "filesystem_of", lambda _path: "xfs")
    assert checks.check_sqlite_disk(None) == []


def test_every_message_has_a_remedy_and_its_own_id():
    source = Path(checks.__file__).read_text()
    used = [line.split('"')[1] for line in source.splitlines() if line.strip().startswith('id="phpborg.')]
    assert len(used) == len(set(used)) >= 15
    assert source.count("hint=") == len(used)
