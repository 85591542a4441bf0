"""The commands: what they print, how they end, and that no passphrase is an argument."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from django.core.management import call_command, get_commands
from django.core.management.base import CommandError

from backups.models import Archive, Repository, StoragePool
from backups.services import trash
from phpborg.tasks.models import Task
from phpborg.tasks.states import State
from tests.storage.support import PASSPHRASE, Hand


def run(*words: str, stdin: str = "", monkeypatch: pytest.MonkeyPatch | None = None) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    if monkeypatch:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    out, problems = io.StringIO(), io.StringIO()
    try:
        call_command(*words, stdout=out, stderr=problems)
    except CommandError as error:
        return error.returncode, out.getvalue(), str(error)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue(), problems.getvalue()
    return 0, out.getvalue(), problems.getvalue()


def test_the_commands_exist_and_helpers_are_none():
    assert {"pool", "repository", "sync_archives"} <= set(get_commands())
    assert "_repositories" not in get_commands()


def test_a_pool_from_beginning_to_end(db, root):
    code, out, _ = run("pool", "add", "disk", str(root / "disk"), "--default", "--json")
    assert (code, json.loads(out)["default"]) == (0, True)
    assert "disk" in run("pool", "list")[1]
    assert json.loads(run("pool", "analyse", "disk", "--json")[1])["capacity_bytes"] > 0
    assert run("pool", "remove", "disk")[0] == 2
    assert run("pool", "remove", "disk", "--yes")[0] == 0
    assert not StoragePool.objects.exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("pool", "add", "x", "/etc/x"), 1),
        (("pool", "analyse", "unknown"), 2),
        (("repository", "show", "unknown"), 2),
        (("repository", "add", "x", "--generate"), 2),
        (("sync_archives",), 2),
        (("sync_archives", "unknown"), 2),
    ],
)
def test_what_cannot_be_done_ends_with_the_documented_code(db, words, expected):
    assert run(*words)[0] == expected


def test_a_pool_that_is_not_mounted_fails_its_analysis(registered):
    Path(registered.pool.path).rename(f"{registered.pool.path}-away")
    code, out, _ = run("pool", "analyse", "Main pool", "--json")
    assert (code, "mounted" in json.loads(out)["problem"]) == (1, True)


@pytest.mark.real
@pytest.mark.parametrize("source", ["stdin", "file"])
def test_a_passphrase_comes_by_standard_input_or_file_and_is_used_exactly(pool, tmp_path, monkeypatch, source):
    file = tmp_path / "secret"
    file.write_text(PASSPHRASE + "\n")
    more = ("--passphrase-file", str(file)) if source == "file" else ()
    code, out, _ = run("repository", "add", "new", "--json", *more, stdin=PASSPHRASE + "\n", monkeypatch=monkeypatch)
    assert code == 0
    assert "passphrase" not in json.loads(out)
    made = Repository.objects.get()
    assert made.passphrase.reveal() == PASSPHRASE
    assert Hand(made, tmp_path).borg("list", made.path).returncode == 0


@pytest.mark.real
def test_a_generated_passphrase_is_printed_once_and_opens_the_repository(pool, tmp_path):
    data = json.loads(run("repository", "add", "new", "--generate", "--json")[1])
    made = Repository.objects.get()
    assert Hand(made, tmp_path).borg("list", made.path, passphrase=data["passphrase"]).returncode == 0
    assert "passphrase" not in json.loads(run("repository", "show", "new", "--json")[1])


@pytest.mark.real
def test_the_passphrase_can_be_entered_again(repository, monkeypatch):
    assert run("repository", "passphrase", str(repository.pk), stdin="no\n", monkeypatch=monkeypatch)[0] == 1
    assert run("repository", "passphrase", str(repository.pk), stdin=PASSPHRASE, monkeypatch=monkeypatch)[0] == 0


def test_a_passphrase_as_an_argument_is_refused(pool):
    assert run("repository", "add", "x", "--passphrase", "secret")[0] != 0
    assert not Repository.objects.exists()


@pytest.mark.parametrize("action", ["check", "compact", "measure"])
def test_maintenance_is_queued_once(registered, action):
    code, out, _ = run("repository", action, "office", "--json")
    task = Task.objects.get()
    assert (code, json.loads(out)["task"], task.kind, task.trigger) == (0, str(task.pk), action, "command")
    assert run("repository", action, "office")[0] == 4
    assert run("repository", action, "office", "--wait", "--timeout", "0")[0] == 4


def test_removal_asks_twice_and_is_queued(registered):
    assert run("repository", "trash", "office")[0] == 2
    assert run("repository", "purge", "office", "--yes")[0] == 4
    assert run("repository", "trash", "office", "--yes")[0] == 0
    assert run("repository", "purge", "office")[0] == 2
    assert run("repository", "untrash", "office")[0] == 0
    assert run("repository", "trash", "office", "--yes")[0] == 0
    assert run("repository", "purge", "office", "--yes")[0] == 0
    assert Task.objects.get().kind == trash.PURGE
    assert json.loads(run("repository", "list", "--json")[1]) == []


def test_the_lock_is_not_broken_while_it_is_used_nor_without_yes(registered):
    task = Task.objects.create(kind="backup", queue="backup", state=State.RUNNING, repository_ref=registered.pk)
    assert run("repository", "break-lock", "office", "--yes")[0] == 1
    task.delete()
    assert run("repository", "break-lock", "office")[0] == 2


@pytest.mark.real
def test_key_move_and_comparison(repository, hand, run_pending):
    hand.archive("one")
    assert run("repository", "export-key", str(repository.pk))[1].startswith("BORG_KEY")
    assert "PAPER" in run("repository", "export-key", str(repository.pk), "--paper")[1]
    new = f"{repository.pool.path}/moved"
    Path(repository.path).rename(new)
    assert run("repository", "move", str(repository.pk), new)[0] == 1
    assert run("repository", "move", str(repository.pk), new, "--yes")[0] == 0
    assert run("sync_archives", "--all")[0] == 0
    run_pending("sync")
    assert Archive.objects.get().name == "one"
    assert json.loads(run("repository", "list", "--json")[1])[0]["archives"] == 1
