"""The services of a Docker restore before any server is touched: drafts, consents, starts that are refused, ends."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dockerops.choice import Choice
from dockerops.conflict import Conflict
from dockerops.inventory import Inventory
from dockerops.models import DockerRestore
from dockerops.options import Options
from dockerops.run_errors import (
    ArchiveChanged,
    ChangedMeanwhile,
    ConflictsOpen,
    ConflictsUnknown,
    EngineUnknown,
    NotAsInArchive,
    NothingKept,
    NotLookedYet,
    PlanChanged,
    StillUndoing,
)
from dockerops.services import (
    detecting,
    drafts,
    looking,
    planning,
    protection,
    proving,
    restore_run,
    rollback,
    starting,
    undoing,
)
from phpborg.errors import InvalidInput
from phpborg.tasks import leases, queue
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.registry import Finding
from phpborg.tasks.states import State
from servers.models import CapabilityReport
from tests.dockerops import rows, sample

pytestmark = pytest.mark.django_db
Step = DockerRestore.Step


def draft(**more: Any) -> DockerRestore:
    """Nothing stands in the way of it."""
    given = {"options": Options(create_missing=True).as_json()}
    return rows.draft(None, Step.REVIEW, **{**given, **more})


def test_what_changes_the_question_makes_the_answers_stale() -> None:
    for change in (
        lambda row: drafts.set_choice(restore=row, choice=Choice(mode="volumes").as_json()),
        lambda row: drafts.set_options(restore=row, options=Options(ports="none").as_json()),
        lambda row: drafts.set_server(restore=row, server=rows.server("other")),
    ):
        row = draft(plan={"x": 1}, plan_hash="a" * 64)
        assert detecting.is_current(row)
        change(row)
        assert (detecting.is_current(row), row.plan, row.plan_hash, row.inventory) == (False, {}, "", {})
        with pytest.raises(ConflictsUnknown):
            planning.plan_of(row)


def test_the_same_answer_once_more_keeps_what_is_known() -> None:
    row = draft()
    drafts.set_choice(restore=row, choice=row.choice)
    drafts.set_options(restore=row, options=row.options)
    assert row.server
    drafts.set_server(restore=row, server=row.server)
    assert detecting.is_current(row)


def test_what_was_started_is_changed_and_discarded_by_nobody() -> None:
    row = draft(state=DockerRestore.State.STARTED)
    with pytest.raises(InvalidInput):
        drafts.consent(restore=row, keys=["stop:x"])
    drafts.discard(restore=row)
    assert DockerRestore.objects.filter(pk=row.pk).exists()


def test_a_consent_to_an_odd_name_is_text_that_every_database_takes() -> None:
    row, key = draft(), "path:/srv/caf\udce9"
    drafts.consent(restore=row, keys=[key])
    assert json.dumps(row.consents, ensure_ascii=False).encode("utf-8")
    assert row.agreed == [key]


def test_a_plan_needs_a_look_and_the_conflicts() -> None:
    with pytest.raises(NotLookedYet):
        detecting.start(restore=rows.draft(None, Step.CONTENTS))
    with pytest.raises(ConflictsUnknown):
        starting.start(restore=draft(conflicts_at=None), plan_hash="")


def test_what_an_older_version_saw_of_a_manifest_is_looked_at_again() -> None:
    row = draft()
    del row.contents["manifest_sha256"]
    row.save()
    for ask in (lambda: planning.plan_of(row), lambda: detecting.start(restore=row)):
        with pytest.raises(NotLookedYet):
            ask()
    row.contents["origin"] = "listing"
    assert looking.is_known(row)


def test_only_the_archive_and_the_manifest_of_the_plan_are_put_back() -> None:
    plan = planning.plan_of(draft())
    manifest = json.dumps(sample.MANIFEST).encode()
    planning.check_archive(plan, plan.archive_id, manifest)
    for identity, written in (("f" * 64, manifest), ("", manifest), (plan.archive_id, manifest + b"\n")):
        with pytest.raises(ArchiveChanged):
            planning.check_archive(plan, identity, written)
    with pytest.raises(ArchiveChanged):
        planning.check_archive(plan, plan.archive_id, None)


def test_a_server_without_an_engine_is_told_at_once() -> None:
    row = draft()
    CapabilityReport.objects.all().delete()
    with pytest.raises(EngineUnknown):
        detecting.start(restore=row)


def test_a_start_without_a_consent_is_refused_and_names_what_it_is_about() -> None:
    row = rows.conflicting(None)
    with pytest.raises(ConflictsOpen) as refused:
        starting.start(restore=row, plan_hash="")
    assert "kiosk" in str(refused.value.facts["subjects"])
    assert not Task.objects.filter(kind=starting.KIND).exists()
    row.refresh_from_db()
    assert row.is_draft


def test_only_the_plan_that_was_shown_is_started_and_once() -> None:
    row = draft()
    plan = planning.plan_of(row)
    with pytest.raises(PlanChanged):
        starting.start(restore=row, plan_hash="0" * 64)
    task = starting.start(restore=row, plan_hash=plan.hash)
    assert starting.start(restore=row, plan_hash=plan.hash) == task
    assert (row.state, row.plan_hash, row.plan["hash"]) == ("started", plan.hash, plan.hash)
    assert planning.stored_plan(row).hash == plan.hash
    assert task.params == {"docker_restore": str(row.pk)}
    assert task.exclusive == f"docker:{row.server_id}"


def test_with_a_safety_archive_too_the_engine_is_changed_by_one_at_a_time() -> None:
    row = draft(options=Options(protect="archive", create_missing=True).as_json())
    task = starting.start(restore=row, plan_hash=planning.plan_of(row).hash)
    assert task.exclusive == f"docker:{row.server_id}"


def test_other_facts_than_those_of_the_plan_are_a_refusal() -> None:
    row = draft()
    plan = planning.plan_of(row)
    planning.check_unchanged(row, plan, Inventory.from_json(row.inventory))
    with pytest.raises(ConflictsOpen):
        planning.check_unchanged(row, plan, sample.inventory(sample.there()))
    other = sample.inventory(sample.empty())
    moved = Inventory.from_json({**other.as_json(), "engine": {**other.as_json()["engine"], "data_root": "/elsewhere"}})
    with pytest.raises(PlanChanged) as refused:
        planning.check_unchanged(row, plan, moved)
    assert "/elsewhere" in refused.value.detail


def test_containers_that_came_during_the_extraction_are_a_refusal_and_what_it_made_is_none() -> None:
    row = draft()
    plan = planning.plan_of(row)
    before = Inventory.from_json(row.inventory)
    made = sample.inventory(sample.there())
    planning.check_containers(row, plan, before, replace(made, containers=()))
    with pytest.raises(ChangedMeanwhile) as refused:
        planning.check_containers(row, plan, before, made)
    assert refused.value.detail


def test_no_secret_of_the_manifest_is_in_a_row() -> None:
    row = rows.record(None)
    said = str([row.contents, row.conflicts, row.inventory, row.plan, row.choice, row.options])
    assert not [canary for canary in sample.CANARIES if canary in said]


def test_one_that_is_cancelled_before_its_turn_has_touched_nothing() -> None:
    row = draft()
    task = starting.start(restore=row, plan_hash=planning.plan_of(row).hash)
    queue.cancel(task)
    row.refresh_from_db()
    assert (row.state, row.report["ended"], row.report["touched"]) == ("failed", "cancelled", False)
    assert row.finished_at is not None


def test_one_whose_worker_is_lost_waits_for_its_rollback_and_then_is_as_before() -> None:
    row = draft()
    task = starting.start(restore=row, plan_hash=planning.plan_of(row).hash)
    Task.objects.filter(pk=task.pk).update(state=State.RUNNING, worker="x")
    leases.hold(task, undoing.RESTORE, {"server": str(row.server_id), "restore": str(row.pk), "token": row.token})
    from phpborg.tasks.reaper import mark_lost

    task.refresh_from_db()
    assert mark_lost(task)
    row.refresh_from_db()
    assert (row.state, row.report["rollback"]["pending"]) == ("failed", True)
    undoing.record(str(row.pk), {"undone": ["exchange"], "problems": [], "notes": []})
    row.refresh_from_db()
    assert (row.state, row.report["rollback"]["complete"]) == ("rolled_back", True)


def test_what_could_not_be_undone_is_told_and_is_not_rolled_back() -> None:
    row = rows.record(None, "started")
    undoing.record(str(row.pk), {"undone": [], "problems": ["step 3: gone"], "notes": []})
    row.refresh_from_db()
    assert (row.state, row.report["rollback"]["problems"]) == ("failed", ["step 3: gone"])


def test_only_what_is_kept_can_be_brought_back_or_let_go() -> None:
    row = rows.record(None)
    for begin in (rollback.start, protection.start_forget):
        with pytest.raises(NothingKept):
            begin(restore=row)
    Task.objects.filter(pk=row.task_ref).update(state=State.RUNNING)
    with pytest.raises(StillUndoing):
        rollback.start(restore=row)
    assert not Lease.objects.held().exists()


def test_what_is_kept_stays_while_it_is_needed_to_undo() -> None:
    row = rows.record(None)
    task = Task.objects.get(pk=row.task_ref)
    data = {"server": str(row.server_id), "restore": str(row.pk), "token": row.token, "socket": "/run/docker.sock"}
    leases.hold(task, undoing.RESTORE, data)
    kept = leases.hold(task, protection.KEPT, data)
    assert not leases.release(kept)
    undoing.record(str(row.pk), {"undone": [], "problems": [], "notes": []})
    assert not Lease.objects.held().filter(kind=protection.KEPT).exists()


def test_an_answer_to_what_is_no_longer_asked_is_none() -> None:
    row = draft()
    before = detecting.asked(row)
    drafts.set_options(restore=row, options=Options(port_shift=1).as_json())
    assert detecting.asked(row) != before


def test_conflicts_are_read_as_they_were_found() -> None:
    row = rows.conflicting(None)
    found = detecting.conflicts_of(row)
    assert found
    assert all(isinstance(one, Conflict) and one.sentence for one in found)
    drafts.consent(restore=row, keys=[one.consent for one in found if one.consent])
    assert not [one for one in detecting.standing(row) if one.severity == "stop"]


def test_a_look_that_goes_on_is_not_begun_twice() -> None:
    row = rows.draft(None, Step.CONTENTS)
    assert looking.start(restore=row) == looking.start(restore=row)


def test_what_an_engine_warns_of_a_new_container_is_told_with_its_name() -> None:
    plan = planning.plan_of(draft())
    step = next(one for one in plan.steps if one.op == "create_container")
    words = "Your kernel does not support swap limit capabilities. Memory limited without swap."
    told = restore_run._findings(step, {"id": "x", "warnings": [words, "y" * 5000]})
    assert told == [
        Finding("docker_engine", words, str(step.params["name"])),
        Finding("docker_engine", "y" * 1000, str(step.params["name"])),
    ]
    assert restore_run._findings(step, {"id": "x", "warnings": []}) == []


def test_limits_that_an_engine_does_not_have_are_no_failure_and_another_difference_is() -> None:
    plan = planning.plan_of(draft())
    carrier = cast("Any", SimpleNamespace(filled=lambda step: step.params))
    said: dict[str, Any] = {"differs": {"a": []}, "left": {"a": ["HostConfig.MemorySwap"]}}
    engine = cast("Any", SimpleNamespace(compare=lambda _bodies, _stop: said))
    compared, left = proving._bodies(plan, engine, carrier, None)
    assert compared
    assert left == {"a": ["HostConfig.MemorySwap"]}
    said["differs"]["a"] = ["User"]
    with pytest.raises(NotAsInArchive):
        proving._bodies(plan, engine, carrier, None)
