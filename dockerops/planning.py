"""From facts to the plan: what is created, extracted, stopped, set aside, exchanged, made and started, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dockerops import conflicts, from_dumps, ordering
from dockerops.choice import Choice
from dockerops.compose_edits import Rewriting, rewriting
from dockerops.conflict_facts import ALWAYS, Situation, Target, situation
from dockerops.conflict_machine import image_of, names_to_give
from dockerops.errors import NotPlanned
from dockerops.inventory import Inventory, Running
from dockerops.manifest import MANIFEST, Container, Contents, Dump
from dockerops.naming import base_of, files_only
from dockerops.options import Options
from dockerops.plan import DockerPlan, Note, Protected, Step
from dockerops.selecting import inside
from servers.remote.dockers.patience import MOST_SECONDS

PLACE = "/var/lib/phpborg/docker"
MANIFEST_PATH = f"{PLACE}/manifest.json"
_STARTED = {"running": "running", "restarting": "running", "paused": "paused"}


@dataclass(frozen=True)
class About:
    """Which archive and which engine: what a plan says of itself. `token` marks what is set aside (a restore's).

    `own`: the archive is of the server that it goes to, by our records.
    """

    archive_name: str
    archive_id: str
    repository: str
    server_name: str
    socket: str
    token: str
    own: bool = False


def plan_docker(
    contents: Contents,
    target: Inventory,
    choice: Choice,
    options: Options,
    about: About,
    consents: Iterable[str] = (),
) -> DockerPlan:
    """The plan. Raises NotPlanned with what is still in the way, NothingChosen, NotInArchive."""
    facts = situation(contents, target, choice, options, consents, own=about.own)
    in_the_way = conflicts.open_ones(conflicts.find_in(facts), facts.consents)
    if in_the_way:
        raise NotPlanned(in_the_way)
    files = rewriting(contents, facts.selected, facts.names, options)
    builder = _Builder(facts, about, files)
    builder.build()
    return DockerPlan(
        archive_name=about.archive_name,
        archive_id=about.archive_id,
        repository=about.repository,
        server_name=about.server_name,
        socket=about.socket,
        steps=tuple(builder.steps),
        renames=facts.names.as_renames(),
        notes=(*_notes(facts, files), *_kept(builder.steps, options)),
        protected=tuple(builder.protected),
        manifest=MANIFEST_PATH if contents.origin == MANIFEST else "",
        manifest_sha256=contents.manifest_sha256 if contents.origin == MANIFEST else "",
        token=about.token,
        protect=options.protect,
        window_hours=options.window_hours,
    )


@dataclass
class _Builder:
    facts: Situation
    about: About
    files: Rewriting
    steps: list[Step] = field(default_factory=list)
    protected: list[Protected] = field(default_factory=list)

    def build(self) -> None:
        """All steps in their order."""
        self._images()
        self._networks()
        self._volumes()
        self._hold()
        self._extract()
        self._rewrite()
        stopped = self._stop()
        self._archive_former()
        self._set_aside()
        self._exchange()
        self._release()
        self._containers(stopped)
        self._compose()

    def _add(self, op: str, params: dict[str, Any], why: str = "", **more: Any) -> None:
        facts = {name: value for name, value in more.items() if name not in ("touches", "bytes")}
        touches = tuple(more.get("touches", ()))
        self.steps.append(Step(len(self.steps) + 1, op, params, why, facts, touches, more.get("bytes")))

    def _images(self) -> None:
        seen: set[tuple[str, str]] = set()
        for one in sorted(self.facts.created, key=lambda row: row.name):
            key = (one.image, one.image_id)
            if key not in seen:
                seen.add(key)
                self._image(one)

    def _image(self, one: Container) -> None:
        params: dict[str, Any] = {"reference": one.image, "id": one.image_id}
        known = image_of(self.facts, one)
        if self.facts.there.has_image(one.image_id) and names_to_give(self.facts, one):
            self._add("pull_image", {**params, "tag": one.image}, "named", image=one.image, touches=(one.image,))
        elif self.facts.there.has_image(one.image_id) or known is None or self.facts.options.images == "present":
            self._add("need_image", params, image=one.image)
        elif self.facts.options.images == "pull":
            digest = known.digests[0] if known.digests else ""
            pulled = {"reference": digest or one.image, "id": one.image_id, "tag": one.image}
            self._add("pull_image", pulled, "" if digest else "tag", image=one.image, touches=(one.image,))
        else:
            stream = f"{PLACE}/{known.stream}"
            loaded = {**params, "images": list(known.tags), "stream": stream}
            self._add("load_image", loaded, image=one.image, touches=(one.image,), bytes=known.size_bytes)

    def _networks(self) -> None:
        for one in sorted(self.facts.new_networks, key=lambda row: row.name):
            name = self.facts.names.network(one.name)
            free = one.name in self.facts.names.freed
            why = "free" if free else "missing" if one.external else ""
            self._add(
                "create_network",
                {"name": name, "manifest_name": one.name, "free": free},
                why,
                name=name,
                touches=(name,),
            )

    def _volumes(self) -> None:
        chosen = self.facts.selected.volume_names
        for one in sorted(self.facts.new_volumes, key=lambda row: row.name):
            name = self.facts.names.volume(one.name)
            params: dict[str, Any] = {"name": name, "manifest_name": one.name}
            if one.origin != MANIFEST:
                params = {"name": name, "manifest_name": "", "labels": _labels(one.project, one.logical)}
            why = "anonymous" if one.anonymous else "" if one.name in chosen else "missing"
            user = ", ".join(map(self.facts.names.container, one.used_by)) or "–"
            self._add("create_volume", params, why, name=name, container=user, touches=(name,))

    def _hold(self) -> None:
        """Before anything is extracted or stopped: what cannot be mounted or written ends it here."""
        for target in self._held():
            name = self.facts.shown_volume(target)
            self._add("hold_volume", {"volume": name, "path": target.path}, name=name, touches=(name,))

    def _release(self) -> None:
        for target in self._held():
            name = self.facts.shown_volume(target)
            self._add("release_volume", {"volume": name, "path": target.path}, name=name, touches=(name,))

    def _held(self) -> list[Target]:
        return sorted((target for target in self.facts.targets if target.held), key=lambda one: one.volume)

    def _extract(self) -> None:
        stages: dict[str, list[Target]] = {}
        for target in self.facts.targets:
            stages.setdefault(target.stage, []).append(target)
        for directory in sorted(stages):
            rows = stages[directory]
            sources = sorted(path for row in rows for path in _sources(row))
            sizes = [0 if row.without == (row.source,) else row.bytes for row in rows]
            total = None if None in sizes else sum(size or 0 for size in sizes)
            params: dict[str, Any] = {"directory": directory, "sources": sources}
            if without := sorted(path for row in rows for path in row.without):
                params["without"] = without
            self._add("extract", params, directory=directory, touches=(directory,), bytes=total)

    def _stop(self) -> list[Running]:
        """Everything active that is replaced or uses what is replaced; answers the latter, to be started again."""
        users = [container for container, _ in self.facts.users]
        replaced = {one.name for one in self.facts.replaced}
        active = [*users, *(one for one in self.facts.replaced if one.is_active)]
        for name in reversed(ordering.in_order(ordering.needs_there(active))):
            params = {"container": name, "seconds": None}
            self._add("stop_container", params, "replaced" if name in replaced else "uses", name=name, touches=(name,))
        return users

    def _archive_former(self) -> None:
        paths = sorted(target.path for target in self.facts.targets if self._is_there(target))
        if self.facts.options.protect == "archive" and paths:
            name = f"before-{self.about.token[:8]}"  # services/safety_end.py knows it by this
            self._add("archive_former", {"archive": name, "paths": paths}, name=name)

    def _set_aside(self) -> None:
        for one in sorted(self.facts.replaced, key=lambda row: row.name):
            kept = f"{one.name}.phpborg-{self.about.token[:8]}"
            # Whoever agreed meant this very one.
            params = {"container": one.name, "to": kept, "id": one.id}
            self._add("rename_container", params, name=one.name, to=kept, touches=(one.name,))
            for network in sorted(set(one.networks) - ALWAYS):
                params = {"network": network, "container": kept}
                self._add("disconnect", params, name=kept, network=network, touches=(kept, network))
            self.protected.append(Protected("container", one.name, self._how(), kept))

    def _exchange(self) -> None:
        for target in sorted(self.facts.targets, key=lambda one: (one.path, one.volume)):
            items = None if target.items is None else sorted(target.items)
            params = {"target": target.path, "stage": target.stage, "source": target.source}
            why = _why_exchanged(target)
            name = self.facts.shown_volume(target) if target.volume else target.path
            touched = [target.path] if items is None else [f"{target.path}/{item}" for item in items]
            empty = target.without == (target.source,)
            self._add(
                "exchange",
                {**params, "whole": target.whole, "items": items},
                why,
                name=name,
                path=target.path,
                touches=touched,
                bytes=None if empty else target.bytes,
            )
            if self._is_there(target):
                self.protected.append(Protected("path", target.path, self._how(), "", target.bytes))

    def _rewrite(self) -> None:
        """In the private directories: a file that cannot be changed ends the restore before anything is touched."""
        stages = [(one.source, one.stage) for one in self.facts.targets if not one.volume and one.items is None]
        rows = [
            {**row, "stage": stage}
            for row in self.files.files
            for stage in [next((stage for source, stage in stages if inside(row["source"], source)), "")]
            if stage
        ]
        if rows:
            count = sum(len(row["edits"]) for row in rows)
            self._add("rewrite_files", {"files": rows}, count=count, touches=[row["path"] for row in rows])

    def _is_there(self, target: Target) -> bool:
        if target.held:  # also behind a volume that is made anew something may lie
            return True
        if target.volume and not target.made and self.facts.there.volume(self.facts.shown_volume(target)):
            return True
        return self.facts.place(target.path).exists

    def _how(self) -> str:
        """An archive holds files only: with it, too, everything is kept aside."""
        return "dropped" if self.facts.options.protect == "none" else "aside"

    def _containers(self, stopped: list[Running]) -> None:
        made = {one.name: one for one in self.facts.created}
        order = self._in_order(made)
        for old in order:
            name = self.facts.names.container(old)
            image = made[old].image
            params = {"name": name, "manifest_name": old}
            self._add("create_container", params, name=name, image=image, touches=(name,))
        # Others wait for what they need among the new ones; these need none of those that stay.
        if self.facts.options.start == "former":
            for old in order:
                self._start(made[old])
        again = {one.name: one for one in stopped}
        for name in ordering.in_order(ordering.needs_there(stopped)):
            state = _STARTED[again[name].state]
            why = "again_paused" if state == "paused" else "again"
            self._add("start", {"container": name, "state": state}, why, name=name, touches=(name,))
            if state == "running":
                self._healthy(name, 0, "again")

    def _in_order(self, made: dict[str, Container]) -> list[str]:
        """What others depend on first; databases that are loaded, and what they need, before anybody uses them."""
        needed = ordering.needs(made.values())
        order, first = ordering.in_order(needed), {one.dump.container for one in self.facts.torn if one.is_loaded}
        way = list(first)
        while way:
            further = needed[way.pop()] - first
            first |= further
            way += further
        return [*(name for name in order if name in first), *(name for name in order if name not in first)]

    def _start(self, one: Container) -> None:
        state = _STARTED.get(one.state)
        if state is None:
            return
        name = self.facts.names.container(one.name)
        why = "paused" if state == "paused" else ""
        self._add("start", {"container": name, "state": state}, why, name=name, touches=(name,))
        for torn in self.facts.torn:
            if torn.is_loaded and torn.dump.container == one.name:
                self._load(one, torn.dump)
        # What was not well when the archive was made is not asked to be well now.
        if state == "running" and not is_unwell(one):
            self._healthy(name, one.shape.health_seconds)

    def _load(self, one: Container, dump: Dump) -> None:
        """Before it has to be well: its own health check may ask for what is in the dump."""
        name = self.facts.names.container(one.name)
        params = {"container": name, "engine": dump.engine, "stream": f"{PLACE}/{dump.path}", "bytes": dump.bytes}
        params["seconds"] = self._seconds(one.shape.health_seconds)
        self._add("load_dump", params, name=name, touches=(name,), bytes=dump.bytes)

    def _seconds(self, own: int) -> int:
        return min(max(self.facts.options.wait_minutes * 60, own), MOST_SECONDS)

    def _healthy(self, name: str, own: int, why: str = "") -> None:
        """`own`: the seconds that its health check asks for itself."""
        seconds = self._seconds(own)
        self._add("healthy", {"container": name, "seconds": seconds}, why, name=name, seconds=seconds)

    def _compose(self) -> None:
        """Projects of which only the files are known."""
        if self.facts.contents.origin == MANIFEST or self.facts.options.start == "none":
            return
        if files_only(self.facts.selected, self.facts.options) and self.facts.options.placement == "other_path":
            return
        for one in sorted(self.facts.selected.projects, key=lambda row: row.name):
            if not one.config_files or not one.working_dir:
                continue
            name = self.facts.names.project_of(one.name) or one.name
            params = {
                "project": name,
                "working_dir": self.facts.names.path(one.working_dir),
                "files": [self.facts.names.path(path) for path in one.config_files],
                "env_files": [self.facts.names.path(path) for path in one.environment_files],
                "seconds": self.facts.options.wait_minutes * 60,
            }
            self._add("compose_up", params, name=name, touches=(name,))


def is_unwell(one: Container) -> bool:
    """Did it not run well when the archive was made?"""
    return one.state == "restarting" or one.health == "unhealthy"


def _labels(project: str | None, logical: str | None) -> dict[str, str]:
    """What Compose looks for in a volume of its own."""
    if not project or not logical:
        return {}
    return {"com.docker.compose.project": project, "com.docker.compose.volume": logical}


def _why_exchanged(target: Target) -> str:
    """Which sentence says it."""
    if not target.volume:
        return "path"
    if target.items is not None:
        return "files"
    if target.without == (target.source,):
        return "new_empty" if target.made else "empty"
    return "held" if target.held else "new" if target.made else "volume"


def _sources(target: Target) -> list[str]:
    """What is extracted for a target: nothing that was not chosen."""
    if target.items is None:
        return [target.source]
    return [f"{target.source.rstrip('/')}/{item}" for item in target.items]


def _notes(facts: Situation, files: Rewriting) -> Iterator[Note]:
    options = facts.options
    yield Note("no_secret")
    if files_only(facts.selected, options):
        yield Note("files_only", {"path": base_of(options)})
    elif facts.names.as_renames():
        yield Note("others_kept" if files.known else "environment_kept")
        yield from files.notes
    if any(path in facts.selected.paths for path in facts.contents.config_files):
        yield Note("engine_config")
    loaded = [one for one in facts.torn if one.is_loaded]
    left = len(facts.contents.dumps) - len(loaded)
    if left and any(one.container in facts.selected.container_names for one in facts.contents.dumps):
        yield Note("dumps", {"count": left, "path": f"{PLACE}/dumps"})
    for torn in facts.torn:
        name, lies = facts.names.container(torn.dump.container), ", ".join(torn.places) or "–"
        yield Note(
            f"torn_{torn.reason or 'loaded'}", {"name": name, "places": lies, "path": f"{PLACE}/{torn.dump.path}"}
        )
    for failed in from_dumps.undumped(facts.contents, facts.created):
        yield Note("torn_not_dumped", {"name": facts.names.container(failed)})
    for one in facts.created:
        if one.state not in _STARTED and options.start == "former":
            yield Note("not_started", {"name": facts.names.container(one.name), "state": one.state})


def _kept(steps: list[Step], options: Options) -> Iterator[Note]:
    """What becomes of what is replaced; an archive is spoken of only where one is made."""
    if options.protect == "none":
        yield Note("dropped")
        return
    yield Note("kept_hours", {"hours": options.window_hours})
    if options.protect == "archive":
        made = next((step for step in steps if step.op == "archive_former"), None)
        yield Note("archived", {"name": made.params["archive"]}) if made else Note("not_archived")
