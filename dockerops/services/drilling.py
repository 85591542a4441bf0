"""One drill: a whole application out of an archive, started apart from everything, checked, measured and removed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_noop

from dockerops import conflicts, drill_checks, drill_judging, drill_plan, ordering, sentences
from dockerops.choice import Choice
from dockerops.drill_errors import (
    DoesNotComeUp,
    DrillUnsafe,
    DumpNotLoaded,
    ImageNotHere,
    NothingDescribed,
    NothingToDrill,
    NotJudged,
    NotWhole,
    WrongImage,
)
from dockerops.drill_manifest import Isolated, Said, isolate
from dockerops.manifest import Container, Contents, parse
from dockerops.plan import DockerPlan, Step
from dockerops.planning import About
from dockerops.services import drill_removing
from dockerops.services.archive_reading import Reader, read_manifest
from dockerops.services.carrying import Carrier
from dockerops.services.drill_asking import Asking
from dockerops.services.engine_at import EngineAt, socket_of
from dockerops.services.extracting import Extraction, Portion, paths_of, portion_of
from dockerops.services.restore_run import PHASES, _words
from phpborg.errors import PhpBorgError
from phpborg.tasks.leases import new_token
from recovery.services import drills
from servers.errors import DockerRefused, DumpRefused, RemotePathMissing
from servers.services.ways import open_way
from servers.transport.base import Link

log = logging.getLogger(__name__)
_NAMED = 5


class DrillCarrier(Carrier):
    """Nothing that is not harmless is ever sent. Raises DrillUnsafe."""

    def filled(self, step: Step) -> dict[str, Any]:
        """As a restore's, looked at once more; a container is also found by its name in production."""
        params = super().filled(step)
        if step.op != "create_container":
            return params
        params = drill_plan.with_old_name(params, str(step.params["manifest_name"]))
        if problems := drill_plan.unsafe(params, self.plan):
            raise DrillUnsafe(", ".join(problems)[:2000], container=sentences.shown(str(step.params["name"])))
        return {**params, "inside": drill_plan.base_of(self.plan.token)}


class DrillRun:
    """State of one drill. `run` is the only entry; what it saw is in `proof.evidence["drill"]`, however it ends."""

    def __init__(self, stage: drills.Stage) -> None:
        self.stage, self.context, self.proof, self.archive = stage, stage.context, stage.proof, stage.archive
        self.reader = Reader(stage.context, stage.archive, stage.view)
        self.seen: dict[str, Any] = stage.proof.evidence.setdefault("drill", {"kind": "docker"})
        self.began = timezone.now()
        self.excused: set[str] = set()  # what needs something that is left out, and did not come up
        self._ways = ExitStack()
        self._way: Link | None = None
        self._written: bytes | None = None  # the manifest; it holds secrets and stays in this process

    def run(self) -> bool:
        """False: not all of it could be started. Raises what the archive is not, and what kept us from looking."""
        manifest = self._step(
            "drill-read", gettext_noop("Read from the archive how its containers are made"), self._read
        )
        self._step("drill-whole", gettext_noop("Compare the archive's files with its own list"), self._whole)
        self._step("drill-plan", gettext_noop("Plan the drill"), lambda row: self._plan(manifest, row))
        error: BaseException | None = None
        try:
            with self._ways:
                self._up()
                self._check()
        except BaseException as problem:
            error = problem
            raise
        finally:
            self._remove(error)
        self._tell()
        return not self.isolated.left and not self.excused

    def _step(self, code: str, title: str, body: Callable[[dict[str, Any]], Any]) -> Any:
        self.context.stop.check()
        with self.context.step(code, title) as row:
            return body(row)

    def _see(self, **more: Any) -> None:
        self.seen.update({key: drill_checks.plain(value) for key, value in more.items()})
        self.stage.keep()

    # --- before anything is started --------------------------------------------------------------

    def _read(self, _row: dict[str, Any]) -> dict[str, Any]:
        self.context.phase("planning")
        self._written = self.reader.manifest_bytes()
        manifest = read_manifest(self._written)
        if not manifest:
            raise NothingDescribed()
        return manifest

    def _whole(self, row: dict[str, Any]) -> None:
        """Raises NotWhole with all that is missing."""
        self.context.phase("verifying")
        contents = parse(self._written or b"")
        tally = drill_checks.Tally.of(contents)
        self.reader.entries(lambda entry: tally.take(entry.kind, entry.size, entry.path))
        missing = drill_checks.missing(contents, tally)
        self._see(volumes=drill_checks.volumes(contents, tally), missing=[drill_checks.row_of(one) for one in missing])
        row["detail"] = f"{len(tally.counts)} · {len(missing)}"
        if missing:
            words = "\n".join(f"{one.subject}: {_said(one)}" for one in missing)
            subjects = ", ".join(sentences.shown(one.subject) for one in missing[:_NAMED])
            raise NotWhole(sentences.shown(words[:4000]), count=len(missing), subjects=subjects[:500])

    def _plan(self, manifest: dict[str, Any], row: dict[str, Any]) -> None:
        token = new_token()
        server = self.stage.server
        self.engine = EngineAt(server, self.proof.docker or socket_of(server), token)
        self.isolated: Isolated = isolate(manifest, token)
        self.contents: Contents = drill_plan.contents_of(self.isolated)
        left, remarks = self.isolated.left, self.isolated.remarks
        self._see(
            server=server.name,
            project=drill_plan.name_of(token),
            left=[drill_checks.row_of(one) for one in left],
            remarks=[drill_checks.row_of(one) for one in remarks],
        )
        if not self.contents.containers:
            raise NothingToDrill("\n".join(f"{one.subject}: {_said(one)}" for one in left), count=len(left))
        paths = conflicts.paths_to_ask(self.contents, Choice("all"), drill_plan.options_of(token))
        there = self.engine.inventory(paths, self.context.stop)
        for one, other in drill_plan.wrong_images(self.contents, there, self.isolated):
            raise ImageNotHere(other, container=sentences.shown(one.name), image=one.image_id)
        about = About(
            self.archive.name,
            self.archive.borg_id,
            self.archive.repository.path,
            server.name,
            self.engine.socket,
            token,
        )
        self.plan: DockerPlan = drill_plan.plan_drill(self.contents, self.isolated, there, about)
        self.names = {
            str(step.params["manifest_name"]): str(step.params["name"])
            for step in self.plan.steps
            if step.op == "create_container"
        }
        row["detail"] = f"{len(self.names)} · {self.plan.hash[:12]}"

    # --- up --------------------------------------------------------------------------------------

    def _up(self) -> None:
        wanted = {step.number: step.params for step in self.plan.steps if step.op == "extract"}
        counts = self.reader.count_each(map(os.fsencode, paths_of(wanted.values())))
        portions: dict[int, Portion] = {number: portion_of(params, counts) for number, params in wanted.items()}
        total = sum(one.expected.bytes for one in portions.values())
        extraction = Extraction(self.context, self.archive, self.engine, total)
        made, way = self.isolated.manifest, self._open_way
        carrier = DrillCarrier(self.context, self.plan, self.engine, made, extraction, portions, way, _NO_SAFETY)
        self._check_bodies(carrier)
        drill_removing.hold(self.context, self.engine)
        self._see(removed={"complete": False, "begun": True})  # what stays there when nobody is left to say more
        self.engine.begin(self.context.stop)
        for step in self.plan.steps:
            self._carry(carrier, step)

    def _check_bodies(self, carrier: DrillCarrier) -> None:
        """All of them before the first thing is made. Raises DrillUnsafe, NoBodies."""
        for step in self.plan.steps:
            if step.op == "create_container":
                carrier.filled(step)

    def _open_way(self) -> Link:
        if self._way is None:
            way = open_way(
                self.context,
                self.engine.server,
                self.engine.host,
                str(self.stage.view),
                mode="tunnel",
                token=self.context.task.pk.hex[:16],
            )
            self._way = self._ways.enter_context(way)
        return self._way

    def _carry(self, carrier: DrillCarrier, step: Step) -> None:
        if str(step.params.get("container") or "") in self.excused:
            return
        self.context.phase(PHASES.get(step.op, "placing"))
        self.context.stop.check()
        text, facts = _words(step)
        try:
            with self.context.step(f"step-{step.number}", text, **facts) as row:
                carrier.carry(step, row)
        except PhpBorgError as error:
            self.context.stop.check()
            self._failed(step, error)
            return
        if step.op == "healthy":
            seconds = round((timezone.now() - self.proof.created_at).total_seconds(), 1)
            self.seen.setdefault("times", {}).setdefault("first_healthy_seconds", seconds)
            self.seen["times"]["all_healthy_seconds"] = seconds

    def _failed(self, step: Step, error: PhpBorgError) -> None:
        """Raises what it means; nothing for one that needs what is left out: then it is no fault of the archive."""
        new = str(step.params.get("container") or step.params.get("name") or "")
        one = self._container(new)
        name = sentences.shown(one.name if one else new)
        if step.op == "borrow_image" and isinstance(error, DockerRefused):
            image = str(step.params["id"])
            user = next((row.name for row in self.contents.containers if row.image_id == image), image)
            raise WrongImage(error.detail, container=sentences.shown(user), image=image) from error
        if step.op == "create_container" and isinstance(error, RemotePathMissing):
            raise NotWhole(str(error), count=1, subjects=name) from error
        if step.op not in ("start", "load_dump", "healthy") or not isinstance(error, DockerRefused):
            raise error
        row = self._last(new)
        if one is not None and self._needs_left(one):
            self.excused.add(new)
            return
        if step.op == "load_dump":
            # Only what its own server says of the dump: an end for want of memory or room is the machine's.
            kind = DumpNotLoaded if isinstance(error, DumpRefused) else NotJudged
            raise kind(error.detail[:8000], container=name) from error
        raise self._end_of(one, name, error.detail, row) from error

    def _end_of(
        self, one: Container | None, name: str, words: str, row: dict[str, Any], *, is_late: bool = False
    ) -> PhpBorgError:
        """The archive's fault, or nobody's. What was written last is in the evidence alone: everybody reads errors."""
        log = [str(line) for line in row.get("log") or []]
        disproved = drill_judging.start_disproves(one, words, log, is_late=is_late)
        kind = DoesNotComeUp if disproved else NotJudged
        return kind(words[:8000], container=name)

    def _container(self, new: str) -> Container | None:
        old = next((old for old, name in self.names.items() if name == new), "")
        return self.contents.container(old)

    def _needs_left(self, one: Container) -> bool:
        """Does it need, by whatever way, something that is left out or did not come up because of that?"""
        left = {said.subject for said in self.isolated.left} | {
            old for old, new in self.names.items() if new in self.excused
        }
        needed = ordering.needs(self.contents.containers)
        rows = {row.name: row for row in self.contents.containers}
        way, seen = [one.name], {one.name}
        while way:
            name = way.pop()
            if set(rows[name].depends_on) & left:
                return True
            further = [other for other in needed[name] if other not in seen]
            seen.update(further)
            way += further
        return False

    def _last(self, new: str) -> dict[str, Any]:
        """How it is now, with what it wrote last."""
        rows = self._asking().examine()
        self._see(containers=self._rows(rows, with_log=True))
        return next((row for row in rows if row.get("name") == new), {})

    # --- checked ---------------------------------------------------------------------------------

    def _asking(self) -> Asking:
        return Asking(self.context, self.engine, self.contents, self.names, self.archive.started_at)

    def _check(self) -> None:
        self.context.phase("checking")
        self._step("drill-states", gettext_noop("Compare images, states and health"), self._states)
        self._step("drill-databases", gettext_noop("Read every database whole"), self._databases)
        if self.stage.queries:
            self._step("drill-questions", gettext_noop("Ask what was asked for"), self._questions)
        # What came up stays up, also after it was read.
        self._states({})
        seconds = (timezone.now() - self.proof.created_at).total_seconds()
        self.seen.setdefault("times", {})["checked_seconds"] = round(seconds, 1)
        self.stage.keep()

    def _states(self, row: dict[str, Any]) -> None:
        rows = self._asking().examine()
        self._see(containers=self._rows(rows, with_log=False))
        wrong = drill_checks.containers(self.contents, self.names, rows)
        wrong = [one for one in wrong if self.names.get(one.subject) not in self.excused]
        row["detail"] = f"{len(rows)} · {len(wrong)}"
        if wrong:
            self._see(containers=self._rows(rows, with_log=True))
            raise self._first_of(wrong, rows)

    def _first_of(self, wrong: list[Said], rows: list[dict[str, Any]]) -> PhpBorgError:
        """What disproves the archive before what does not."""
        by_name = {str(row.get("name")): row for row in rows}
        words = "\n".join(f"{one.subject}: {_said(one)}" for one in wrong)
        ends = [
            self._end_of(
                self.contents.container(one.subject),
                sentences.shown(one.subject),
                words,
                by_name.get(self.names.get(one.subject, ""), {}),
                is_late=one.words == drill_checks.NOT_HEALTHY,
            )
            for one in wrong
        ]
        return next((end for end in ends if isinstance(end, DoesNotComeUp)), ends[0])

    def _rows(self, rows: list[dict[str, Any]], *, with_log: bool) -> list[dict[str, Any]]:
        """For the evidence; what containers wrote only where something is wrong."""
        old = {new: name for name, new in self.names.items()}
        keys: tuple[str, ...] = ("state", "health", "exit_code", "image_id", "oom", "error", "engine")
        if with_log:
            keys = (*keys, "log")
        return [
            {"name": old.get(str(row.get("name")), row.get("name")), **{key: row.get(key) for key in keys}}
            for row in rows
        ]

    def _databases(self, row: dict[str, Any]) -> None:
        asking = self._asking()
        told, error = asking.databases(asking.examine())
        self._see(databases=told)
        row["detail"] = str(len(told))
        if error is not None:
            raise error

    def _questions(self, row: dict[str, Any]) -> None:
        told, error = self._asking().questions(self.stage.queries)
        self._see(questions=told)
        row["detail"] = f"{sum(one['is_good'] for one in told)} / {len(told)}"
        if error is not None:
            raise error

    # --- the end ---------------------------------------------------------------------------------

    def _remove(self, error: BaseException | None) -> None:
        """Now, visibly. What resists is left to the lease; it hides no finding."""
        try:
            undone = drill_removing.remove_now(self.context, self.engine)
        except Exception as trouble:
            log.warning("the drill %s is removed later: %s", self.engine.token, trouble)
            self._see(removed={"complete": False, "problem": str(trouble)[:500]})
            if error is None:
                raise
            return
        self._see(removed={"complete": True, "steps": undone})

    def _tell(self) -> None:
        """Notes, for who reads the outcome."""
        for one in self.isolated.left:
            self.stage.note("not_started", one.words, sentences.shown(one.subject), **drill_checks.plain(one.facts))
        for one in self.isolated.remarks:
            self.stage.note("drill_remark", one.words, sentences.shown(one.subject), **drill_checks.plain(one.facts))
        for name in sorted(self.excused):
            self.stage.note("not_started", _NEEDS_LEFT, sentences.shown(name))


_NO_SAFETY: Any = None  # nothing is replaced, so nothing is archived before
_NEEDS_LEFT = gettext_noop("It needs a container that is left out, and does not come up without it.")


def _said(one: Said) -> str:
    """A sentence with the words that are facts of it."""
    return one.sentence
