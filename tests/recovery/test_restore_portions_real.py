"""Restores in several portions, and of entries that lead upwards: what was placed is said, whatever came after."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from phpborg.tasks.models import Task
from phpborg.tasks.states import State
from recovery.models import Restore
from recovery.services import plan, restore_run
from servers.errors import ConnectionLost
from servers.transport.host import HelperHost as Host
from tests.recovery.test_restore_real import nothing_left, restore
from tests.support.archives import Storage, storage

__all__ = ["storage"]
pytestmark = [pytest.mark.real, pytest.mark.django_db]
Run = Callable[..., list[Task]]


def test_what_earlier_portions_placed_is_told_when_a_later_one_fails(
    storage: Storage, run_pending: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, admin_client: Client
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for name in ("a", "b", "c"):
        (source / name).write_text(name)
    archive = storage.archive(source, cwd=source, paths=(b"a", b"b", b"c"))
    monkeypatch.setattr(plan, "PORTION", 1)
    call, asked = Host.call, []

    def lost_at_the_third(self: Host, verb: str, *values: Any, **more: Any) -> dict[str, Any]:
        asked.append(verb)
        if verb == "place" and asked.count("place") == 3:
            raise ConnectionLost("", address="web")
        return call(self, verb, *values, **more)

    out.mkdir()
    (out / "a").write_text("theirs")
    monkeypatch.setattr(Host, "call", lost_at_the_third)
    task = restore(run_pending, storage, archive, [b"a", b"b", b"c"], out)
    assert (task.state, task.error_code) == (State.FAILED, ConnectionLost.code)
    assert sorted(os.listdir(out)) == ["a", "b"]
    row = Restore.objects.get()
    counts = {name: row.report[name] for name in ("expected_items", "staged", "placed", "kept")}
    assert counts == {"expected_items": 3, "staged": 2, "placed": 1, "kept": 1}
    assert (row.state, row.report["error"], row.report["target"]) == ("failed", ConnectionLost.code, str(out))
    assert [(finding["kind"], finding["path"]) for finding in task.findings] == [("kept", "a")]
    page = admin_client.get(row.get_absolute_url()).content.decode()
    assert re.search(rf"<dt>[^<]*</dt>\s*<dd>\s*<code>{re.escape(str(out))}</code>", page)
    assert nothing_left(storage)


def upward_entries(monkeypatch: pytest.MonkeyPatch, name: bytes) -> None:
    """As if the archive named this file by a way upwards: borg of today writes none such."""
    read = restore_run.listing.entry

    def entry(line: bytes) -> Any:
        found = read(line)
        return replace(found, path=b"x/../../" + name) if found.path == name else found

    monkeypatch.setattr(restore_run.listing, "entry", entry)


@pytest.mark.parametrize("beside", [False, True])
def test_an_entry_that_leads_upwards_is_named_and_alone_it_is_a_failure(
    storage: Storage, run_pending: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).write_text(name)
    archive = storage.archive(source, cwd=source, paths=(b"a", b"b"))
    upward_entries(monkeypatch, b"b")
    task = restore(run_pending, storage, archive, [b"a", b"b"] if beside else [b"b"], out)
    assert (task.state, task.error_code) == ((State.INCOMPLETE, "") if beside else (State.FAILED, "REC-08"))
    assert [(finding["kind"], finding["path"]) for finding in task.findings] == [("failed", "x/../../b")]
    assert task.findings_count == 1
    assert (os.listdir(out) if out.exists() else []) == (["a"] if beside else [])
    assert nothing_left(storage)


def test_of_many_entries_of_all_portions_the_first_are_named() -> None:
    one = {"kept": 150, "lists": {"kept": [{"path": f"a{number}"} for number in range(150)]}}
    both = restore_run.together(restore_run.together({}, one), one)
    assert both["kept"] == 300
    assert len(both["lists"]["kept"]) == restore_run.LISTED == 200
