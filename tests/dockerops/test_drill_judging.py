"""What a failure in a drill says of the archive, and what it does not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dockerops import drill_checks, drill_errors, drill_judging
from dockerops.drill_manifest import Said
from dockerops.manifest import Container, Contents
from dockerops.plan import Step
from dockerops.services.drill_asking import Asking
from dockerops.services.drilling import DrillRun
from servers import errors
from tests.dockerops.test_drill_checks import AT, contents

WELL, UNWELL = Container("db", state="running"), Container("db", state="running", health="unhealthy")


@pytest.mark.parametrize(
    ("words", "log"),
    [
        ("db has ended with exit 1", ["PANIC:  could not locate a valid checkpoint record"]),
        ("db has ended with exit 1", ["no such table: users"]),
        ("db is not healthy after 900 s (starting)", ["ERROR: invalid page in block 7 of relation base/1/2"]),
        ("db does not keep running: it is restarting after 60 s", ["[ERROR] Table './a/b' is marked as crashed"]),
    ],
)
def test_damage_and_an_end_by_itself_disprove(words: str, log: list[str]) -> None:
    assert drill_judging.start_disproves(WELL, words, log)


@pytest.mark.parametrize(
    ("one", "words", "log"),
    [
        (WELL, "db is not healthy after 900 s (starting; its check ended with 1)", []),
        (WELL, "db does not keep running: it is restarting after 60 s", []),
        (WELL, "db has ended with exit 1", ["getaddrinfo ENOTFOUND api.example.org"]),
        (WELL, "db has ended with exit 1", ["could not resolve host"]),
        (UNWELL, "db has ended with exit 1", []),
        (Container("db", state="restarting"), "db has ended with exit 1", []),
    ],
)
def test_time_the_world_outside_and_former_illness_do_not(one: Container, words: str, log: list[str]) -> None:
    assert not drill_judging.start_disproves(one, words, log)


@pytest.mark.parametrize(
    ("words", "bad"),
    [
        ("the dump by mysqldump in db is not whole: exit 2: Access denied for user 'root'@'localhost'", False),
        ("the dump by pg_dumpall in db is not whole: exit 1: FATAL:  password authentication failed", False),
        ("db has none of mongodump: its database cannot be dumped inside it", False),
        ("the end of a program in a container was not told", False),
        ("timed out", False),
        ("the dump by pg_dumpall in db is not whole: exit 1: ERROR: could not read block 3", True),
        ("the dump by mysqldump in db is not whole: exit 3: Couldn't find table", True),
    ],
)
def test_only_what_was_read_disproves_a_database(words: str, bad: bool) -> None:
    assert drill_judging.reading_disproves(words) is bad


class FakeEngine:
    """Databases with these problems."""

    def __init__(self, problems: dict[str, str]) -> None:
        self.problems = problems

    def drill(self, what: str, *_: object, container: str, **__: object) -> dict[str, object]:
        return {"engine": "mongodb", "problem": self.problems.get(container)}


class FakeContext:
    stop = None


@pytest.mark.parametrize(
    ("problems", "kind"),
    [
        ({"a": "Authentication failed."}, drill_errors.NotJudged),
        ({"a": "Authentication failed.", "b": "checksum mismatch"}, drill_errors.DatabaseUnreadable),
    ],
)
def test_fake_what_disproves_is_told_first(problems: dict[str, str], kind: type[Exception]) -> None:
    asking = Asking(FakeContext(), FakeEngine(problems), contents(), {}, AT)  # type: ignore[arg-type]
    rows = [{"name": name, "engine": "mongodb", "state": "running"} for name in problems]
    assert type(asking.databases(rows)[1]) is kind


def test_what_was_not_judged_takes_no_proof_away() -> None:
    assert drill_errors.NotJudged not in drill_errors.DISPROVED


def test_who_was_unwell_or_has_done_its_work_is_as_it_was() -> None:
    found = contents(
        containers=[
            {"name": "sick", "state": "running", "health": "unhealthy", "image_id": "i"},
            {"name": "loop", "state": "restarting", "image_id": "i"},
            {"name": "job", "state": "running", "restart": "on-failure:3", "image_id": "i"},
            {"name": "web", "state": "running", "restart": "always", "image_id": "i"},
        ]
    )
    rows = [
        {"name": "sick", "state": "running", "health": "unhealthy", "image_id": "i"},
        {"name": "loop", "state": "exited", "exit_code": 1, "image_id": "i"},
        {"name": "job", "state": "exited", "exit_code": 0, "image_id": "i"},
        {"name": "web", "state": "exited", "exit_code": 0, "image_id": "i"},
    ]
    assert [one.subject for one in drill_checks.containers(found, {}, rows)] == ["web"]


@pytest.mark.parametrize(
    ("health", "log", "kind"),
    [
        ("starting", [], drill_errors.NotJudged),
        ("unhealthy", ["PANIC: corrupted page"], drill_errors.DoesNotComeUp),
    ],
)
def test_one_that_is_not_healthy_yet_disproves_nothing(health: str, log: list[str], kind: type[Exception]) -> None:
    run = object.__new__(DrillRun)
    run.contents, run.names = contents(), {"db": "drill-db"}
    rows = [{"name": "drill-db", "state": "running", "health": health, "image_id": "sha256:1", "log": log}]
    wrong = drill_checks.containers(run.contents, run.names, rows)
    assert type(run._first_of(wrong, rows)) is kind


def loading(needs: tuple[str, ...] = (), left: tuple[Said, ...] = ()) -> DrillRun:
    """A drill that loads the dump of one database."""
    run = object.__new__(DrillRun)
    run.contents, run.names, run.excused = (
        Contents(containers=(Container("db", depends_on=needs),)),
        {"db": "x-db"},
        set(),
    )
    run.isolated = SimpleNamespace(left=left)  # type: ignore[assignment]
    run._last = lambda new: {}  # type: ignore[method-assign]
    return run


LOAD = Step(1, "load_dump", {"container": "x-db"})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.DockerRefused("db: it has ended with exit 137 (OOM)", address="a"), drill_errors.NotJudged),
        (errors.DockerRefused("db: nobody can tell when its data were initialised"), drill_errors.NotJudged),
        (errors.DockerRefused("db: its dump was refused: line 6 (COPY t): No space left"), drill_errors.NotJudged),
        (errors.DumpRefused("db: its dump has no end: it was cut off"), drill_errors.DumpNotLoaded),
    ],
)
def test_only_what_is_wrong_with_a_dump_disproves_it(error: errors.DockerRefused, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        loading()._failed(LOAD, error)


def test_a_database_that_needs_what_is_left_out_is_excused_before_its_dump_is_loaded() -> None:
    run = loading(("vault",), (Said("vault", "left"),))
    run._failed(LOAD, errors.DockerRefused("db: it has ended with exit 1"))
    assert run.excused == {"x-db"}
