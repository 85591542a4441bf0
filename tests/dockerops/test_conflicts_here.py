"""What a server has of its own that a restore would meet: what it keeps, itself, and room for what nobody counted."""

from __future__ import annotations

import pytest

from dockerops import conflicts
from dockerops.choice import Choice
from dockerops.options import Options
from tests.dockerops import sample
from tests.dockerops.test_conflicts import DATA, PROBE, PROJECT

OTHER = "/var/lib/docker/volumes/other/_data"


def test_what_was_set_aside_and_runs_is_told() -> None:
    there = sample.empty()
    for name, state in (
        ("web.phpborg-0123abcd", "running"),
        ("db.phpborg-0123abcd", "exited"),
        ("x.phpborg-z", "running"),
    ):
        there["containers"].append({"name": name, "state": state})
    found = conflicts.find(sample.contents(), sample.inventory(there), Choice("configs"), Options())
    assert [(one.subject, one.severity) for one in found if one.kind == "aside_running"] == [
        ("web.phpborg-0123abcd", "warn")
    ]


@pytest.mark.parametrize(("choice", "name"), [(DATA, "kiosk_db_1"), (PROJECT, "kiosk_web_1"), (PROBE, "probe-1")])
def test_what_removes_itself_when_it_is_stopped_blocks_while_it_runs(choice: Choice, name: str) -> None:
    there = sample.there()
    row = next(one for one in there["containers"] if one["name"] == name)
    row["auto_remove"] = True

    def blocking() -> list[str]:
        found = conflicts.find(sample.contents(), sample.inventory(there), choice, Options())
        return [one.subject for one in found if one.kind == "removes_itself" and one.severity == "block"]

    assert blocking() == [name]
    row["state"] = "created"
    assert blocking() == []


@pytest.mark.parametrize(
    ("options", "blocks"),
    [
        ({"type": "none", "o": "bind", "device": "/srv/files"}, False),
        ({"type": "none", "o": "rw,bind", "device": "/srv/files/"}, False),
        ({"type": "none", "o": "bind", "device": "/mnt/newer"}, True),
        ({"type": "ext4", "o": "loop", "device": "/srv/files"}, True),
    ],
)
def test_a_bound_volume_that_lies_elsewhere_here_is_not_filled(options: dict[str, str], blocks: bool) -> None:
    manifest, there = sample.manifest(), sample.empty()
    bound = {"type": "none", "o": "bind", "device": "/srv/files"}
    manifest["volumes"][0].update(options=bound, path="/srv/files")
    names = sorted(options)
    there["volumes"] = [{"name": "kiosk_data", "options": options, "option_names": names, "mountpoint": "/x/_data"}]
    found = conflicts.find(sample.contents(manifest), sample.inventory(there), DATA, Options())
    assert [one.subject for one in found if one.kind == "volume_device"] == ["kiosk_data"] * blocks
    assert [one.severity for one in found if one.kind == "volume_device"] == ["block"] * blocks
    below = Options(placement="other_path", path="/srv/below")
    found = conflicts.find(sample.contents(manifest), sample.inventory(there), DATA, below)
    assert not [one for one in found if one.severity == "block"]


def test_phpborg_and_what_it_needs_are_not_stopped_by_phpborg() -> None:
    there = sample.there()
    web = there["containers"][1]
    web["ours"] = True

    def blocking(choice: Choice) -> set[str]:
        found = conflicts.find(sample.contents(), sample.inventory(there), choice, Options())
        return {one.subject for one in found if one.kind == "ourselves" and one.severity == "block"}

    assert blocking(PROJECT) == {"kiosk_db_1", "kiosk_web_1"}
    assert blocking(DATA) == {"kiosk_db_1"}, "its database is of the same project"
    assert blocking(PROBE) == set()
    web["project"], web["depends_on"] = None, ["probe-1"]
    assert blocking(PROBE) == {"probe-1"}
    web["state"] = "exited"
    assert blocking(PROJECT) == blocking(PROBE) == set()


@pytest.mark.parametrize(
    ("size", "free", "kinds"),
    [
        (40, 80, set()),
        (40, 79, {"space"}),
        (None, 10**9, {"size_unknown", "space_at_least"}),
        (None, 0, {"size_unknown", "space_short"}),
    ],
)
def test_what_nobody_knows_the_size_of_does_not_count_as_nothing(size: int | None, free: int, kinds: set[str]) -> None:
    manifest, there = sample.manifest(), sample.empty()
    manifest["volumes"][0]["size_bytes"] = size
    manifest["volumes"][1].update(size_bytes=0 if size else 1, driver="local", options={}, path=OTHER)
    there["data_root_free_bytes"] = free
    names = tuple(row["name"] for row in manifest["volumes"][:2])
    found = conflicts.find(
        sample.contents(manifest), sample.inventory(there), Choice("volumes", volumes=names), Options()
    )
    assert {one.kind for one in found if one.kind.startswith(("space", "size"))} == kinds
