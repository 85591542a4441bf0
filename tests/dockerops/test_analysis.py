"""What an archive holds: the surest source wins, and each thing says how it became known."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockerops import conflicts
from dockerops.analysis import Listing, analyse, wanted_sizes
from dockerops.choice import Choice
from dockerops.errors import ManifestUnreadable, NotPlanned
from dockerops.inventory import Inventory
from dockerops.manifest import LISTING, MANIFEST, RECORD, SELECTION
from dockerops.options import Options
from dockerops.planning import plan_docker
from tests.dockerops import sample
from tests.dockerops.test_conflicts import ABOUT

OTHER_ROOT = "srv/docker"


def _volume_row(name: str, project: str | None, size: int) -> dict[str, Any]:
    path = f"/{OTHER_ROOT}/volumes/{name}/_data"
    return {"name": name, "driver": "local", "anonymous": False, "project": project, "size_bytes": size, "path": path}


RECORDED: dict[str, Any] = {
    "source_kind": "docker",
    "source": {"projects": ["gone"], "volumes": ["gone_data"]},
    "docker": {
        "engine": {"version": "24.0.7", "data_root": "/srv/docker"},
        "actual_backed_up_items": {
            "projects": [{"name": "shop", "working_dir": "/opt/shop", "containers": ["shop_web_1"]}],
            "containers": [{"name": "shop_web_1", "project": "shop", "state": "running", "image": "web:1"}],
            "volumes": [
                _volume_row("shop_a", "shop", 10),
                _volume_row("b", None, 20),
            ],
            "networks": ["shop_default"],
            "images": [{"tags": ["web:1"], "size_bytes": 5, "saved": False}],
            "dumps": [],
            "binds": [{"source": "/opt/outside", "size_bytes": 7}],
            "configs": ["/etc/docker/daemon.json"],
        },
        "not_included": [{"kind": "volume", "name": "c", "reason": "not mounted"}],
    },
}  # fmt: skip


def listed(*rows: tuple[str, str, int], wanted: tuple[str, ...] = ()) -> Listing:
    found = Listing(wanted=wanted)
    for path, kind, size in rows:
        found.add(path, kind, size)
    return found


SHOP = (
    (f"{OTHER_ROOT}/volumes/shop_a/_data", "d", 0),
    (f"{OTHER_ROOT}/volumes/shop_a/_data/rows", "-", 11),
    (f"{OTHER_ROOT}/volumes/shop_a/_data/volumes/inner/_data/x", "-", 4),
    (f"{OTHER_ROOT}/volumes/b/_data/deep/rows", "-", 5),
    (f"{OTHER_ROOT}/volumes/{'ab' * 32}/_data/rows", "-", 1),
    ("opt/Shop!/docker-compose.yml", "-", 100),
    ("opt/Shop!/docker-compose.override.yml", "-", 100),
    ("opt/Shop!/.env", "-", 9),
    ("opt/Shop!/html/index.html", "-", 1000),
    ("etc/docker/daemon.json", "-", 3),
    ("home/somebody/volumes/notes.txt", "-", 3),
)


def test_paths_alone_tell_volumes_projects_and_configuration():
    found = analyse(listing=listed(*SHOP))
    assert found.origin == LISTING
    assert [one.origin for one in found.volumes] == [LISTING] * 3
    assert [(one.name, one.path, one.size_bytes) for one in found.volumes] == [
        ("ab" * 32, f"/{OTHER_ROOT}/volumes/{'ab' * 32}/_data", 1),
        ("b", f"/{OTHER_ROOT}/volumes/b/_data", 5),
        ("shop_a", f"/{OTHER_ROOT}/volumes/shop_a/_data", 15),
    ]
    assert [one.anonymous for one in found.volumes] == [True, False, False]
    (project,) = found.projects
    assert (project.name, project.working_dir) == ("shop", "/opt/Shop!")
    assert project.config_files == ("/opt/Shop!/docker-compose.yml", "/opt/Shop!/docker-compose.override.yml")
    assert project.environment_files == ("/opt/Shop!/.env",)
    assert project.volumes == ("shop_a",)
    assert found.config_files == ("/etc/docker/daemon.json",)
    assert found.engine.data_root == "/srv/docker"
    assert set(found.notes) == {"listing_only", "other_root"}


def test_a_record_is_surer_than_the_selection_and_is_the_real_list():
    """Case 124: the job's selection has changed since; the archive offers what it holds."""
    found = analyse(record=RECORDED, listing=listed(*SHOP))
    assert found.origin == RECORD
    assert [one.name for one in found.volumes] == ["shop_a", "b"]
    assert [one.size_bytes for one in found.volumes] == [10, 20]
    assert [one.name for one in found.projects] == ["shop"]
    assert found.projects[0].volumes == ("shop_a",)
    assert found.containers[0].origin == RECORD
    assert (found.binds[0].path, found.binds[0].size_bytes) == ("/opt/outside", 7)
    assert found.not_included[0].name == "c"


def test_a_selection_names_volumes_without_their_projects_prefix():
    """Case 116."""
    record = {"source": {"projects": ["shop"], "volumes": ["a", "never"], "containers": ["probe"]}}
    found = analyse(record=record, listing=listed(*SHOP))
    assert found.origin == SELECTION
    assert [(one.name, one.origin, one.path is None) for one in found.volumes] == [
        ("shop_a", SELECTION, False),
        ("never", SELECTION, True),
    ]
    everything = analyse(record={"source": {"projects": None, "volumes": None}}, listing=listed(*SHOP))
    assert len(everything.volumes) == 3
    assert [one.origin for one in everything.volumes] == [LISTING] * 3


def test_a_manifest_wins_and_gets_sizes_from_the_rest():
    raw = sample.manifest()
    raw["volumes"][0]["size_bytes"] = None
    data = json.dumps(raw).encode()
    wanted = wanted_sizes(data)
    assert {"/opt/app", "/opt/shared", "/etc/app.conf"} <= set(wanted)
    rows = (
        ("opt/app/html/index.html", "-", 40),
        ("opt/app/.env", "-", 2),
        ("opt/application", "-", 1000),
        ("var/lib/docker/volumes/kiosk_data/_data/x", "-", 77),
    )
    found = analyse(data, RECORDED, listed(*rows, wanted=tuple(wanted)))
    assert found.origin == MANIFEST
    assert found.sizes["/opt/app"] == 42
    assert [one.size_bytes for one in found.volumes][:2] == [77, 1_000_000]
    with pytest.raises(ManifestUnreadable):
        analyse(b'{"format": 7}', RECORDED)


NO_NAMES: list[tuple[str, str, Any]] = [
    ("containers", "name", "-v/:/host"),
    ("containers", "name", "a b"),
    ("containers", "name", ""),
    ("containers", "name", None),
    ("containers", "name", "../x"),
    ("containers", "image", "--all"),
    ("containers", "image_id", "-f"),
    ("containers", "create", {"Image": "--help"}),
    ("volumes", "name", "--force"),
    ("volumes", "name", ".."),
    ("volumes", "name", "caf\u00e9"),
    ("networks", "name", "-x"),
    ("networks", "name", "a\nb"),
    ("images", "id", "-q"),
    ("images", "tags", ["--quiet"]),
    ("images", "digests", ["a b@sha256:1"]),
]


@pytest.mark.parametrize(("kind", "key", "value"), NO_NAMES)
def test_names_that_no_engine_has_given_are_refused(kind: str, key: str, value: Any):
    raw = sample.manifest()
    raw[kind][0][key] = value
    with pytest.raises(ManifestUnreadable) as refused:
        sample.contents(raw)
    assert refused.value.detail.startswith(kind)


def test_names_that_engines_and_their_plugins_give_are_taken():
    raw = sample.manifest()
    raw["containers"][0]["name"] = "A.b_c-1"
    raw["containers"][0]["image"] = "localhost:5000/team/app@sha256:" + "0" * 64
    raw["volumes"][0] |= {"driver": "rclone", "name": "user:remote \u00e9"}
    raw["networks"][0]["name"] = "my network"
    raw["images"][0]["tags"] = ["<none>:<none>"]
    raw["projects"][0]["name"] = "-chosen by a label"
    assert sample.contents(raw).containers[0].name == "A.b_c-1"


def test_sizes_of_volumes_that_nobody_counted_are_asked_for_by_their_paths() -> None:
    raw = sample.manifest()
    for row, path in zip(raw["volumes"], ("/var/lib/docker/volumes/kiosk_data/_data", "/srv/bound"), strict=False):
        row.update(size_bytes=None, path=path)
    data = json.dumps(raw).encode()
    wanted = wanted_sizes(data)
    assert {"/var/lib/docker/volumes/kiosk_data/_data", "/srv/bound"} <= set(wanted)
    rows = (("var/lib/docker/volumes/kiosk_data/_data/x", "-", 77), ("srv/bound/deep/y", "-", 5))
    found = analyse(data, {}, listed(*rows, wanted=tuple(wanted)))
    assert [one.size_bytes for one in found.volumes][:2] == [77, 5]
    counted = json.dumps(sample.manifest()).encode()
    assert not {row["path"] for row in sample.manifest()["volumes"] if row["size_bytes"]} & set(wanted_sizes(counted))


def test_a_plan_says_at_least_where_it_does_not_know_all() -> None:
    raw, choice = sample.manifest(), Choice("volumes", volumes=("kiosk_data",))
    for size, known, told in ((40, True, 40), (None, False, 0)):
        raw["volumes"][0]["size_bytes"] = size
        made = plan_docker(sample.contents(raw), sample.inventory(sample.empty()), choice, Options(), ABOUT)
        assert (made.is_size_known, made.bytes) == (known, told)
    choice = Choice("volumes", volumes=("kiosk_data", raw["volumes"][1]["name"]))
    raw["volumes"][1].update(size_bytes=7, driver="local", options={})
    made = plan_docker(sample.contents(raw), sample.inventory(sample.empty()), choice, Options(), ABOUT)
    assert (made.is_size_known, made.bytes) == (False, 7)


def test_a_record_does_not_say_where_a_volume_is_put():
    """A server tells what was backed up of it: not which directory of another one its volume is."""
    row = {"name": "data", "path": "/var/lib/docker/volumes/data/_data", "device": "/etc/cron.d", "host_device": "/"}
    found = analyse(record={"docker": {"actual_backed_up_items": {"volumes": [row]}}})
    assert [(one.name, one.device, one.host_device, one.origin) for one in found.volumes] == [
        ("data", None, "", RECORD)
    ]
    made = conflicts.situation(found, sample.inventory(sample.empty()), Choice(), Options()).targets
    assert [one.path for one in made] == ["/var/lib/docker/volumes/data/_data"]


def test_an_archive_without_metadata_is_restored_by_its_files_and_compose():
    found = analyse(listing=listed(*SHOP))
    target = sample.inventory(sample.empty())
    made = plan_docker(found, target, Choice("projects"), Options(), ABOUT)
    assert [step.op for step in made.steps] == [
        "create_volume",
        "extract",
        "extract",
        "exchange",
        "exchange",
        "compose_up",
    ]
    volume, up = made.steps[0].params, made.steps[-1].params
    assert volume == {
        "name": "shop_a",
        "manifest_name": "",
        "labels": {"com.docker.compose.project": "shop", "com.docker.compose.volume": "a"},
    }
    assert (up["project"], up["working_dir"]) == ("shop", "/opt/Shop!")
    targets = {step.params["source"]: step.params["target"] for step in made.steps if step.op == "exchange"}
    assert targets[f"/{OTHER_ROOT}/volumes/shop_a/_data"] == "/var/lib/docker/volumes/shop_a/_data"
    assert made.manifest == ""


def test_without_compose_a_project_without_metadata_cannot_be_started():
    there = sample.empty()
    there["engine"] = {**there["engine"], "compose": None}
    found = analyse(listing=listed(*SHOP))
    with pytest.raises(NotPlanned) as refused:
        plan_docker(found, sample.inventory(there), Choice("projects"), Options(), ABOUT)
    assert [one.kind for one in refused.value.conflicts] == ["compose_missing"]


def test_a_container_that_only_a_record_knows_is_told_not_to_be_made():
    record = {"docker": {"actual_backed_up_items": {"containers": [{"name": "alone", "project": None}]}}}
    found = analyse(record=record)
    told = conflicts.find(found, Inventory(), Choice(), Options())
    assert [(one.kind, one.severity) for one in told] == [("no_body", "warn")]
    assert plan_docker(found, Inventory(), Choice(), Options(), ABOUT).steps == ()


def test_records_of_an_older_form_are_read():
    """The predecessor's: bare names, `compose_projects` with a path, names of configuration files."""
    items = {
        "volumes": ["shop_a"],
        "compose_projects": [{"name": "shop", "path": "/opt/Shop!"}],
        "standalone_containers": ["probe"],
        "configs": ["daemon.json"],
    }
    found = analyse(record={"actual_backed_up_items": items}, listing=listed(*SHOP))
    assert found.projects[0].config_files[0] == "/opt/Shop!/docker-compose.yml"
    assert found.volumes[0].path == f"/{OTHER_ROOT}/volumes/shop_a/_data"
    assert found.containers[0].name == "probe"
    assert found.config_files == ("/etc/docker/daemon.json",)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    (
                        "docker",
                        "source",
                        "actual_backed_up_items",
                        "projects",
                        "volumes",
                        "name",
                        "path",
                        "binds",
                        "configs",
                    )
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_a_record_holds_contents_come_out(raw: Any):  # fmt: skip
    found = analyse(record=raw if isinstance(raw, dict) else {"docker": {"actual_backed_up_items": raw}})
    json.dumps(found.as_json())
