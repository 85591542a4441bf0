"""script/server with values that cannot be right: one sentence, nothing started, nothing half made."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[2]


def serve(var: Path | str, *words: str, **environment: str) -> subprocess.CompletedProcess:
    """The second half of script/server, with a directory of its own."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PHPBORG_", "SECRET_KEY", "DJANGO"))
    }
    return subprocess.run(
        [sys.executable, "script/serve.py", *words],
        cwd=HOME,
        env={**kept, "PHPBORG_VAR": str(var), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


def refusal(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PHPBORG_PORT", "http", "PHPBORG_PORT"),
        ("PHPBORG_PORT", "70000", "1 to 65535"),
        ("PHPBORG_WORKERS_BACKUP", "-1", "PHPBORG_WORKERS_BACKUP"),
        ("PHPBORG_STOP_SECONDS", "1.5", "PHPBORG_STOP_SECONDS"),
        ("PHPBORG_DEBUG", "maybe", "PHPBORG_DEBUG"),
        ("PHPBORG_KEY_FILE", "keys", "absolute path"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, name, value, said):
    assert said in refusal(serve(tmp_path / "var", **{name: value}))
    assert not (tmp_path / "var/phpborg.sqlite3").exists()


def test_a_relative_var_is_refused():
    assert "absolute path" in refusal(serve("var/elsewhere"))


def test_a_var_that_is_too_long_for_sockets_is_refused(tmp_path):
    assert "too long" in refusal(serve(tmp_path / ("v" * 100)))
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_told_before_anything_is_set_up(tmp_path):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = str(busy.getsockname()[1])
        assert "cannot be listened on" in refusal(serve(tmp_path / "var", "--port", port))
    assert not (tmp_path / "var/encryption-key").exists()


def test_an_address_that_is_not_ours_is_told(tmp_path):
    assert "cannot be listened on" in refusal(serve(tmp_path / "var", "--bind", "192.0.2.1"))


def test_a_database_that_cannot_be_reached_is_told(tmp_path):
    said = refusal(serve(tmp_path / "var", "--setup-only", DATABASE_URL=f"sqlite:///{tmp_path}/gone/db.sqlite3"))
    assert "DATABASE_URL" in said


@pytest.mark.real
def test_a_lost_key_beside_a_full_database_stops_the_start(tmp_path):
    var = tmp_path / "var"
    assert serve(var, "--setup-only").returncode == 0
    (var / "encryption-key").unlink()
    said = refusal(serve(var, "--setup-only"))
    assert "encryption-key is missing" in said
    assert "Recovering the key" in said
    assert not (var / "encryption-key").exists()


@pytest.mark.real
def test_a_second_setup_changes_nothing_and_shows_no_password(tmp_path):
    var = tmp_path / "var"
    first, second = serve(var, "--setup-only"), serve(var, "--setup-only")
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert second.stdout.splitlines()[-1:] == ["Everything is set up. Start it with script/server."]
    assert "Created" in first.stdout
    assert "Created" not in second.stdout


@pytest.mark.parametrize("words", [["--help"], ["-h"]])
def test_help_needs_nothing_installed(words):
    done = subprocess.run([HOME / "script/server", *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert "--setup-only" in done.stdout


@pytest.mark.parametrize("words", [["--frobnicate"], ["--port"]])
def test_an_unknown_option_is_told(words):
    done = subprocess.run([HOME / "script/server", *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert words[0] in done.stderr
