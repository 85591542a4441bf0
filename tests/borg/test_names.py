"""Archive names: unique, readable, and harmless whatever a job is called (case 28)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.borg import names

JOB, TASK = UUID("11111111-2222-3333-4444-555555555555"), UUID("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee")
AT = datetime(2026, 3, 29, 3, 30, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("job", "slug"),
    [
        ("web/db", "web-db"), ("a::b", "a-b"), ("trail ", "trail"), ("q'uote", "q-uote"), ("né", "ne"),
        ("x{now}", "x-now"), ("a\nb", "a-b"), ("日本", "job"), ("", "job"), ("--", "job"), ("n" * 200, "n" * 60),
        ("../../etc", "etc"), ("$(id)", "id"), ("x.checkpoint", "x-checkpoint"),
    ],
)  # fmt: skip
def test_a_job_name_becomes_a_slug(job: str, slug: str) -> None:
    assert names.archive_name(job, JOB, AT, TASK) == f"{slug}-11111111-20260329T013000Z-aaaaaaaa"


def test_two_runs_within_one_second_have_two_names() -> None:
    """Case 27."""
    other = UUID("bbbbbbbb-bbbb-cccc-dddd-eeeeeeeeeeee")
    assert names.archive_name("nightly", JOB, AT, TASK) != names.archive_name("nightly", JOB, AT, other)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        names.archive_name("x", JOB, datetime(2026, 1, 1), TASK)


@given(st.text())
def test_every_name_is_safe(job: str) -> None:
    made = names.archive_name(job, JOB, datetime(2026, 1, 1, tzinfo=UTC), TASK)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*-11111111-20260101T000000Z-aaaaaaaa", made)
    assert len(made) <= 100
    assert not names.is_checkpoint(made)


@pytest.mark.parametrize("name", ["j-5.checkpoint", "x.checkpoint.1", "x.checkpoint.12"])
def test_checkpoints_are_recognised(name: str) -> None:
    assert names.is_checkpoint(name)


@pytest.mark.parametrize("name", ["checkpoint", "x.checkpoint.a", "x.checkpoint\n", "x.checkpoints", "xcheckpoint"])
def test_others_are_not(name: str) -> None:
    assert not names.is_checkpoint(name)


@given(st.text())
def test_placeholders_come_back_unchanged(text: str) -> None:
    assert names.escape_placeholders(text).format() == text
