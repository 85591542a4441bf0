"""Volumes behind a driver, in plans: which are filled, which are not, and how that is told. Nothing is mounted here."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from dockerops import conflicts
from dockerops.choice import Choice
from dockerops.errors import NotPlanned
from dockerops.manifest import parse
from dockerops.options import Options
from dockerops.plan import DockerPlan
from dockerops.planning import plan_docker
from dockerops.script import FORMS, script
from tests.dockerops import sample
from tests.dockerops.test_conflicts import ABOUT
from tests.dockerops.test_planning import plan

NFS = {"type": "nfs", "device": ":/export/files", "o": "addr=192.0.2.4,rw"}
CIFS = {"type": "cifs", "device": "//192.0.2.4/files", "o": "username=u,password=canary-cifs-password,rw"}
DISK = {"type": "ext4", "device": "/dev/sdz1"}
FILES = Choice("volumes", volumes=("kiosk_files",))
PATH = "/var/lib/docker/volumes/kiosk_files/_data"
Raw = dict[str, Any]


def archived(options: dict[str, str], driver: str = "local") -> Raw:
    raw = copy.deepcopy(sample.manifest())
    row = next(one for one in raw["volumes"] if one["name"] == "kiosk_files")
    row.update(options=options, driver=driver)
    return raw


def there(options: dict[str, str] | None, driver: str = "local", mountpoint: str = PATH) -> Raw:
    """An engine without the project, with that volume or without it."""
    raw: Raw = copy.deepcopy(sample.there())
    raw["containers"] = []
    raw["volumes"] = [one for one in raw["volumes"] if not one["name"].startswith("kiosk_")]
    if options is not None:
        row = {"name": "kiosk_files", "driver": driver, "options": options, "option_names": sorted(options)}
        raw["volumes"].append({**row, "mountpoint": mountpoint, "labels": {}, "project": "kiosk"})
    return raw


def told(raw: Raw, engine: Raw, options: Options | None = None, choice: Choice = FILES) -> set[tuple[str, str, str]]:
    found = conflicts.find(sample.contents(raw), sample.inventory(engine), choice, options or Options(), own=True)
    return {(one.kind, one.severity, one.consent) for one in found if one.kind.startswith("volume_")}


def ops(made: DockerPlan) -> list[str]:
    return [step.op for step in made.steps]


@pytest.mark.parametrize("options", [NFS, CIFS, DISK], ids=["nfs", "cifs", "disk"])
def test_one_that_is_there_is_held_filled_and_let_go(options: dict[str, str]):
    raw, engine = archived(options), there(options)
    assert told(raw, engine) == {("volume_there", "stop", "volume:kiosk_files"), ("volume_held", "warn", "")}
    made = plan(FILES, there=engine, raw=raw)
    assert ops(made) == ["hold_volume", "extract", "exchange", "release_volume"]
    hold, extract, exchange, release = (step.params for step in made.steps)
    assert hold == release == {"volume": "kiosk_files", "path": PATH}
    assert (extract["directory"], exchange["stage"], exchange["target"], exchange["whole"]) == (PATH, PATH, PATH, False)
    assert made.steps[2].why == "held"
    assert [(one.what, one.name) for one in made.protected] == [("path", PATH)]


@pytest.mark.parametrize("options", [NFS, CIFS, DISK], ids=["nfs", "cifs", "disk"])
def test_one_that_is_created_is_filled_only_when_somebody_agrees_since_its_place_may_hold_something(
    options: dict[str, str],
):
    raw, engine = archived(options), there(None)
    assert ("volume_behind", "stop", "volume:kiosk_files") in told(raw, engine)
    with pytest.raises(NotPlanned):
        plan_docker(sample.contents(raw), sample.inventory(engine), FILES, Options(), ABOUT, ["device:kiosk_files"])
    made = plan(FILES, there=engine, raw=raw)
    assert ops(made) == ["create_volume", "hold_volume", "extract", "exchange", "release_volume"]
    assert [one.name for one in made.protected] == [PATH]


def test_a_disk_of_the_machine_is_still_agreed_to_by_name():
    found = conflicts.find(sample.contents(archived(DISK)), sample.inventory(there(None)), FILES, Options())
    assert "device:kiosk_files" in {one.consent for one in found}


def test_a_plugin_s_volume_is_filled_where_its_place_is_known():
    raw = archived({"share": "files"}, "example/driver")
    known = there({"share": "files"}, "example/driver", "/var/lib/example/files")
    made = plan(FILES, there=known, raw=raw)
    assert made.steps[0].params == {"volume": "kiosk_files", "path": "/var/lib/example/files"}
    assert told(raw, there(None)) == {("volume_elsewhere", "stop", "unfilled:kiosk_files")}
    assert ops(plan(FILES, there=there(None), raw=raw)) == ["create_volume"]


@pytest.mark.parametrize(
    ("options", "choices", "kind"),
    [
        ({"type": "tmpfs", "device": "tmpfs"}, Options(), "volume_memory"),
        ({**NFS, "o": "addr=192.0.2.4,ro"}, Options(), "volume_read_only"),
        (NFS, Options(placement="other_project", project_name="two"), "volume_same_place"),
    ],
    ids=["memory", "read-only", "a copy of an export"],
)
def test_what_cannot_be_filled_is_said_with_its_reason_and_agreed_to(
    options: dict[str, str], choices: Options, kind: str
):
    raw = archived(options)
    ((_, severity, consent),) = {one for one in told(raw, there(None), choices) if one[0] == kind}
    assert (severity, consent.split(":")[0]) == ("stop", "unfilled")
    made = plan(FILES, choices, there(None), raw)
    assert not {"hold_volume", "exchange"} & set(ops(made))


def test_the_room_of_what_nobody_has_mounted_is_not_that_of_the_disk_below():
    raw, engine = archived(NFS), there(NFS)
    found = conflicts.find(sample.contents(raw), sample.inventory(engine), FILES, Options(), own=True)
    assert [one.subject for one in found if one.kind == "space_unknown"] == [PATH]


def test_chosen_files_of_it_too():
    raw = archived(NFS)
    made = plan(Choice("volumes", files={"kiosk_files": ("a/b",)}), there=there(NFS), raw=raw)
    assert ops(made) == ["hold_volume", "extract", "exchange", "release_volume"]
    assert made.steps[2].params["items"] == ["a/b"]


def test_a_stranger_s_manifest_does_not_say_that_it_is_memory_or_read_only():
    raw = archived(NFS)
    next(one for one in raw["volumes"] if one["name"] == "kiosk_files").update(filesystem="tmpfs", read_only=True)
    volume = parse(json.dumps(raw)).volume("kiosk_files")
    assert volume is not None
    assert (volume.filesystem, volume.read_only) == ("nfs", False)


@pytest.mark.parametrize("form", FORMS)
def test_a_script_holds_it_too_and_knows_no_password(form: str):
    text = script(plan(FILES, there=there(CIFS), raw=archived(CIFS)), form)
    assert f"hold_volume kiosk_files {PATH}" in text
    assert "release_volume kiosk_files" in text
    assert "canary" not in text
