"""Whoever made an archive chose its Compose files: how much of them is read has an end, and so has waiting for it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dockerops import compose_reading
from dockerops.compose_reading import found_in, wanted
from dockerops.manifest import MANIFEST, Contents, Project
from dockerops.services import looking
from phpborg.tasks.context import Cancelled, StopSignal
from tests.dockerops.test_compose_edits import service
from tests.dockerops.test_fake_manifest_size import reader_with


def projects(count: int, *files: str) -> Contents:
    """So many, each with a Compose file of its own and these."""
    named = [f"/opt/{number}" for number in range(count)]
    return Contents(projects=tuple(Project(f"p{path[5:]}", path, (f"{path}/compose.yml", *files)) for path in named))


def test_no_more_files_are_asked_for_than_are_read() -> None:
    found = projects(1000)
    asked = wanted(found)
    assert len(asked) == 200
    files = found_in(found, dict.fromkeys((path for path in asked if path.endswith("yml")), b"services: {}\n"))
    read = [one for one in files if not one.unread]
    assert sorted(one.path for one in read) == asked
    # Of the others nobody knows whether they are there: none of their files of variables is made.
    assert len(files) == 2000
    assert not any(one.sites or one.sha256 for one in files if one.unread)


def test_files_that_many_projects_name_are_not_read_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = "/opt/shared.yml"
    text = service("ports: ['80:80']") + "x: " + "y" * 100_000 + "\n"
    found = projects(500, shared)
    files = found_in(found, {shared: text.encode()})
    read = [one for one in files if one.path == shared and not one.unread]
    assert 0 < len(read) <= compose_reading.MOST_BYTES // len(text)
    assert [one.value for one in read[0].sites if one.kind == "port"] == ["80"]
    assert all(one.unread for one in files if one.path == shared and one not in read)


def test_what_a_reader_makes_of_a_file_is_let_go_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    alive: set[int] = set()
    most = []

    class Watched(compose_reading.Document):
        def __init__(self, text: str) -> None:
            super().__init__(text)
            alive.add(id(self))
            most.append(len(alive))

        def __del__(self) -> None:
            alive.discard(id(self))

    monkeypatch.setattr(compose_reading, "Document", Watched)
    paths = [f"/opt/0/{number}.yml" for number in range(10)]
    found_in(projects(1, *paths), dict.fromkeys(paths, service("ports: ['80:80']").encode()))
    assert len(most) == 10
    assert max(most) <= 2  # the one that is made and the one before it


def test_somebody_who_wants_the_end_gets_it_after_the_file_that_is_being_read() -> None:
    stop, asked = StopSignal(), []

    def check() -> None:
        asked.append(1)
        if len(asked) > 5:
            stop.set("cancel")
        stop.check()

    found = projects(50)
    with pytest.raises(Cancelled):
        found_in(found, dict.fromkeys(wanted(found), b"services: {}\n"), check)
    assert len(asked) == 6


def test_a_file_of_variables_with_many_that_are_made_of_others_takes_no_long_time() -> None:
    found = projects(1)
    started = time.process_time()
    texts = {"/opt/0/.env": b"A=$B\n" * 50_000, "/opt/0/compose.yml": b"services: {}\n"}
    assert not any(one.unread for one in found_in(found, texts))
    assert time.process_time() - started < 5


ODD = ["/", "", "relative", "/srv/../x", "/srv/./x", "/srv//x", "/a\0b", "/\ud800", "/" + "x" * 300, "/x" * 3000]


def test_paths_that_no_archive_has_are_not_asked_for() -> None:
    found = Contents(projects=(Project("a", "/opt/a", (*ODD, "/opt/a/compose.yml")), Project("b", "/opt/../b")))
    assert wanted(found) == ["/opt/a/.env", "/opt/a/compose.yml"]
    files = found_in(found, {"/opt/a/compose.yml": b"services: {}\n"})
    assert [one.path for one in files if not one.unread] == ["/opt/a/compose.yml", "/opt/a/.env"]


def test_a_look_ends_well_whatever_paths_a_manifest_says(tmp_path: Path, settings: Any) -> None:
    """In the place of borg is a program that gives out the manifest, and has no entry."""
    long = [f"/{number}/{'x' * 200}" for number in range(20_000)]
    told = {"format": 1, "config_files": [*ODD[:-3], *long], "containers": [{"name": "a"}]}
    told["projects"] = [{"name": "a", "working_dir": "/opt/../a", "config_files": [*ODD[:-3], *long]}]
    (tmp_path / "manifest").write_text(json.dumps(told))
    program = tmp_path / "borg"
    program.write_text(f'#!/bin/sh\ncase "$1" in extract) exec cat {tmp_path}/manifest;; esac\n')
    program.chmod(0o755)
    reader, archive = reader_with(str(program), tmp_path, settings), SimpleNamespace(name="a", backup_config={})
    reader._stop = StopSignal()
    found = looking.read(reader, archive)  # type: ignore[arg-type]
    assert found.origin == MANIFEST
    assert all(one.unread for one in found.compose_files if "/../" in one.path)
