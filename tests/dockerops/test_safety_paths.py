"""What the safety archive of a restore is told to read."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from backups.sources import own_names
from dockerops.services import safety
from tests.dockerops import rows

pytestmark = pytest.mark.django_db


class _Told(Exception):
    pass


class FakeHost:
    """Ends where Borg would begin."""

    def run(self, verb: str, args: dict[str, Any], **_: Any) -> None:
        raise _Told(args["argv"])


def test_fake_what_was_extracted_for_the_restore_is_not_in_its_safety_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a filesystem of its own it lies inside what is read."""
    row = rows.record(None)
    way = SimpleNamespace(repository="ssh://x/./repository")
    monkeypatch.setattr(safety, "open_way", lambda *_, **__: nullcontext(way))
    engine: Any = SimpleNamespace(server=row.server, host=FakeHost())
    context: Any = SimpleNamespace(stop=None)
    made = safety.Safety(context, row, engine, 1)
    monkeypatch.setattr(safety.repositories, "told_there", lambda _: {})
    monkeypatch.setattr(safety.repositories, "secrets_there", lambda _: {})
    with pytest.raises(_Told) as told:
        made._run("before", [b"/srv/data"], safety.Report())
    words = told.value.args[0]
    assert [f"--exclude={one}" for one in own_names.of_restore(row.token)] == [
        word for word in words if word.startswith("--exclude=")
    ]
    assert words[-1] == "/srv/data"
