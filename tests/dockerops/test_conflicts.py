"""Conflicts: situations with exactly what is told of each, how severe it is, and by which key somebody agrees."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import translation

from dockerops import conflict_words, conflicts
from dockerops.choice import Choice
from dockerops.conflict import Conflict
from dockerops.errors import NothingChosen, NotInArchive, NotPlanned
from dockerops.inventory import Inventory
from dockerops.options import Options
from dockerops.planning import About, plan_docker
from tests.dockerops import sample
from tests.dockerops.situations import (
    as_it_was,
    bind_of_another,
    content_not_archived,
    disk_full,
    disk_just_big_enough,
    external_network_missing,
    external_volume_missing,
    forbidden,
    foreign_container_of_that_name,
    image_missing,
    lives_in_another,
    name_of_another_image,
    network_with_other_addresses,
    nothing_there,
    older_engine,
    other_container_has_the_port,
    other_machine,
    process_has_the_port,
    process_has_the_port_elsewhere,
    running_database_alone,
    stopped_project,
    subnet_of_somebody_else,
    swarm_task,
    target_is_full,
    the_system_was_bound,
    volume_of_two_projects,
    volume_with_another_driver,
)

ABOUT = About("shop-2026", "ab" * 32, "ssh://backup/./repo", "shop-1", "/run/docker.sock", "0123456789abcdef", own=True)
PROJECT = Choice("projects", projects=("kiosk",))
PROBE = Choice("custom", containers=("probe-1",))
DATA = Choice("volumes", volumes=("kiosk_data",))
CONFIGS = Choice("configs")
SECOND = Options(placement="other_project", project_name="two", ports="none")
Raw = dict[str, Any]
Told = set[tuple[str, str, str, str]]
# Told wherever sizes are not known; no question of these tests.
QUIET = {"size_unknown", "space_at_least"}


def told(manifest: Raw, there: Raw, choice: Choice, options: Options) -> Told:
    found = conflicts.find(sample.contents(manifest), sample.inventory(there), choice, options, own=True)
    return {(one.kind, one.severity, one.subject, one.consent) for one in found if one.kind not in QUIET}


# What is told of the sample wherever it is restored: a capability, and a file of /etc.
HOST = ("host_access", "stop", "probe-1", "host:probe-1")
SYSTEM = ("system_target", "stop", "/etc/app.conf", "system:/etc/app.conf")
TAKEN = ("container_taken", "stop", "probe-1", "replace:probe-1")
PATHS = ("/opt/app", "/opt/shared", "/etc/app.conf")
NAMED_TWO = Options(placement="other_project", project_name="Two; $(x)")
SHARED = ("volume_missing", "block", "corp_shared", "")
TABLE: list[tuple[Callable[[Raw, Raw], None], Choice, Options, Told]] = [
    (nothing_there, DATA, Options(), set()),
    (
        running_database_alone,
        DATA,
        Options(),
        {
            ("container_on_volume", "stop", "kiosk_db_1", "stop:kiosk_db_1"),
            ("volume_there", "stop", "kiosk_data", "volume:kiosk_data"),
        },
    ),
    (
        as_it_was,
        Choice("custom", files={"kiosk_data": ("base/1/2",)}),
        Options(),
        {
            ("container_on_volume", "stop", "kiosk_db_1", "stop:kiosk_db_1"),
            ("volume_files", "stop", "kiosk_data", "volume:kiosk_data"),
        },
    ),
    (
        as_it_was,
        PROJECT,
        Options(),
        {
            ("project_running", "stop", "kiosk", "project:kiosk"),
            *(("volume_there", "stop", name, f"volume:{name}") for name in ("kiosk_data", sample.ANONYMOUS)),
            *(
                ("path_there", "stop", path, f"overwrite:{path}")
                for path in ("/opt/app", "/opt/shared", "/etc/app.conf")
            ),
            ("volume_memory", "stop", "kiosk_files", "unfilled:kiosk_files"),
        },
    ),
    (
        stopped_project,
        PROJECT,
        Options(create_missing=True),
        {
            ("project_there", "stop", "kiosk", "project:kiosk"),
            ("network_created", "info", "proxy", ""),
            ("volume_memory", "stop", "kiosk_files", "unfilled:kiosk_files"),
        },
    ),
    (
        foreign_container_of_that_name,
        PROBE,
        Options(),
        {TAKEN, SHARED},
    ),
    (other_container_has_the_port, PROBE, Options(), {("port_container", "block", "5353/udp", ""), SHARED}),
    (process_has_the_port, PROBE, Options(), {("port_process", "block", "5353/udp", ""), SHARED}),
    (process_has_the_port_elsewhere, PROBE, Options(), {SHARED}),
    (process_has_the_port, PROBE, Options(ports="shift", port_shift=1), {SHARED}),
    (network_with_other_addresses, PROBE, Options(), {("network_differs", "block", "proxy", ""), SHARED}),
    (
        subnet_of_somebody_else,
        PROJECT,
        Options(),
        {
            ("subnet_overlap", "stop", "kiosk_default", "free:kiosk_default"),
            ("volume_memory", "stop", "kiosk_files", "unfilled:kiosk_files"),
        },
    ),
    (
        volume_with_another_driver,
        DATA,
        Options(),
        {
            ("volume_differs", "block", "kiosk_data", ""),
            ("volume_there", "stop", "kiosk_data", "volume:kiosk_data"),
        },
    ),
    (
        volume_of_two_projects,
        DATA,
        Options(),
        {
            ("volume_shared", "stop", "kiosk_data", "shared:kiosk_data"),
            ("volume_there", "stop", "kiosk_data", "volume:kiosk_data"),
        },
    ),
    (bind_of_another, CONFIGS, Options(), {("container_on_path", "stop", "watcher", "stop:watcher")}),
    (
        target_is_full,
        CONFIGS,
        Options(),
        {("path_there", "stop", "/etc/docker/daemon.json", "overwrite:/etc/docker/daemon.json")},
    ),
    (
        external_network_missing,
        PROJECT,
        Options(),
        {
            ("network_missing", "block", "proxy", ""),
            ("volume_memory", "stop", "kiosk_files", "unfilled:kiosk_files"),
        },
    ),
    (external_volume_missing, PROBE, Options(), {SHARED}),
    (external_volume_missing, PROBE, Options(create_missing=True), set()),
    (image_missing, PROBE, Options(create_missing=True), {("image_missing", "block", "phpborg-test/probe:1", "")}),
    (
        image_missing,
        PROBE,
        Options(create_missing=True, images="pull"),
        {("image_by_tag", "warn", "phpborg-test/probe:1", "")},
    ),
    (
        name_of_another_image,
        PROBE,
        Options(create_missing=True),
        {("image_tag", "stop", "phpborg-test/probe:1", "tag:phpborg-test/probe:1")},
    ),
    (
        the_system_was_bound,
        Choice("custom", binds=("/etc", "/proc/1", "/var/lib")),
        Options(),
        {("system_path", "block", path, "") for path in ("/etc", "/proc/1", "/var/lib")},
    ),
    (
        the_system_was_bound,
        Choice("custom", binds=("/etc/own",)),
        Options(),
        {("system_target", "stop", "/etc/own", "system:/etc/own")},
    ),
    (the_system_was_bound, Choice("custom", binds=("/etc",)), Options("other_path", "/look"), set()),
    (disk_full, DATA, Options(), {("space", "block", "/var/lib/docker", "")}),
    (disk_just_big_enough, DATA, Options(), set()),
    (older_engine, DATA, Options(), {("engine_older", "warn", "20.9.1", "")}),
    (other_machine, PROBE, Options(create_missing=True), {("machine", "block", "aarch64", "")}),
    (other_machine, DATA, Options(), {("machine", "warn", "aarch64", "")}),
    (swarm_task, PROBE, Options(create_missing=True), {("swarm_task", "block", "probe-1", "")}),
    (forbidden, CONFIGS, Options(), {("policy", "block", "/etc/docker/daemon.json", "")}),
    (lives_in_another, PROBE, Options(create_missing=True), {("container_missing", "block", "vpn", "")}),
    (content_not_archived, DATA, Options(), {("volume_empty", "warn", "kiosk_data", "")}),
    (
        as_it_was,
        PROJECT,
        SECOND,
        {
            ("alias_shared", "stop", "proxy", "alias:proxy"),
            ("addresses_dropped", "warn", "proxy", ""),
            ("volume_memory", "stop", "two_files", "unfilled:two_files"),
        },
    ),
    (
        as_it_was,
        DATA,
        NAMED_TWO,
        {("options", "block", "project_name", "")},
    ),
    (as_it_was, CONFIGS, Options(placement="other_path", path="/a/../b"), {("options", "block", "path", "")}),
]


@pytest.mark.parametrize(
    ("change", "choice", "options", "expected"), TABLE, ids=lambda one: getattr(one, "__name__", "")
)
def test_a_situation_tells_exactly_its_conflicts(change, choice, options, expected):
    manifest, there = sample.manifest(), sample.there()
    change(manifest, there)
    found = told(manifest, there, choice, options)
    if any(row[0] == "options" for row in expected):  # the rest is about names that cannot be
        found = {row for row in found if row[0] == "options"}
    told_always = {HOST} if choice is PROBE else {SYSTEM} if choice is PROJECT and not options.path else set()
    assert found == expected | (told_always if options.placement == "in_place" else set())


def test_what_stands_beside_running_originals_is_told_before_anything_is_touched():
    """Case 123: another path while the originals run, with the same names, port and alias."""
    elsewhere = Options(placement="other_path", path="/restored")
    found = told(sample.manifest(), sample.there(), PROJECT, elsewhere)
    assert ("project_running", "stop", "kiosk", "project:kiosk") in found
    assert ("volume_there", "stop", "kiosk_data", "volume:kiosk_data") in found
    # With a suffix they stand beside each other: then the port and the alias are in the way.
    apart = Options(placement="other_path", path="/restored", name_suffix=".copy")
    found = told(sample.manifest(), sample.there(), PROJECT, apart)
    assert ("port_container", "block", "8080/tcp", "") in found
    assert ("alias_shared", "stop", "proxy", "alias:proxy") in found
    assert ("container_on_volume", "stop", "kiosk_db_1", "stop:kiosk_db_1") in found
    with pytest.raises(NotPlanned):
        plan_docker(sample.contents(), sample.inventory(), PROJECT, elsewhere, ABOUT)


def test_nothing_is_planned_before_every_consent_is_given():
    found = conflicts.find(sample.contents(), sample.inventory(), PROJECT, Options(), own=True)
    keys = {one.consent for one in found if one.consent}
    assert len(keys) == 8
    for key in keys:
        with pytest.raises(NotPlanned) as refused:
            plan_docker(sample.contents(), sample.inventory(), PROJECT, Options(), ABOUT, keys - {key})
        assert [one.consent for one in refused.value.conflicts] == [key]
    assert plan_docker(sample.contents(), sample.inventory(), PROJECT, Options(), ABOUT, keys).steps


def test_a_consent_to_stop_may_stand_in_the_options():
    there = sample.there()
    running_database_alone(sample.manifest(), there)
    options = Options(stop=("kiosk_db_1",))
    plan = plan_docker(sample.contents(), sample.inventory(there), DATA, options, ABOUT, ["volume:kiosk_data"])
    assert [step.params["container"] for step in plan.steps if step.op == "stop_container"] == ["kiosk_db_1"]


def test_addresses_are_chosen_anew_only_with_consent():
    there = sample.there()
    subnet_of_somebody_else(sample.manifest(), there)
    agreed = ["unfilled:kiosk_files", "system:/etc/app.conf"]
    with pytest.raises(NotPlanned):
        plan_docker(sample.contents(), sample.inventory(there), PROJECT, Options(), ABOUT, agreed)
    agreed.append("free:kiosk_default")
    plan = plan_docker(sample.contents(), sample.inventory(there), PROJECT, Options(), ABOUT, agreed)
    assert [step.params["free"] for step in plan.steps if step.op == "create_network"] == [True]


def test_what_is_not_in_the_archive_cannot_be_chosen():
    for choice in (Choice("custom", volumes=("other",)), Choice("custom", files={"other": ("a",)})):
        with pytest.raises(NotInArchive):
            conflicts.find(sample.contents(), Inventory(), choice, Options())
    with pytest.raises(NothingChosen):
        conflicts.find(sample.contents(), Inventory(), Choice("custom"), Options())


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_conflict_says_what_it_is_and_what_to_do(language):
    facts: dict[str, str | int] = {"name": "a\nb\udcff", "needed_bytes": 5_000_000, "free_bytes": 10}
    with translation.override(language):
        for kind in conflict_words.CONFLICTS:
            found = Conflict(kind, "block", "x", facts)
            assert found.sentence
            assert found.sentence.replace("\xa0", "").isprintable()
            assert "{" not in found.sentence
        for code in conflict_words.REMEDIES:
            assert Conflict("options", "block", "x", facts, remedy_code=code).remedy
    assert Conflict.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_every_kind_that_stops_has_a_remedy():
    known = set(conflict_words.REMEDIES)
    stopping = {row[0] for _, _, _, expected in TABLE for row in expected if row[1] in ("block", "stop")} - {"options"}
    assert len({row[0] for _, _, _, expected in TABLE for row in expected}) >= 15
    assert stopping <= known


def test_a_plan_needs_to_ask_for_the_paths_that_it_writes():
    asked = conflicts.paths_to_ask(sample.contents(), PROJECT, Options(), sample.inventory())
    assert {"/opt/app", "/opt", "/etc/app.conf", "/var/lib/docker"} <= set(asked)
    assert "/etc/docker/daemon.json" not in asked
