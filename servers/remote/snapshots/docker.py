"""What an engine of Docker holds, written down for an archive, while its containers keep still as they were asked to.

Arguments: `socket`, and for `make` the `plan` (dockers/planned.py). What is made lies on the disk (dockers/ondisk.py)
and is seen by borg at /var/lib/phpborg/docker: manifest.json, images/N.tar, dumps/NAME. Volumes are read by borg where
the engine has them; those that are not mounted by themselves are held mounted meanwhile (dockers/holding.py).

Beside the usual facts `make` answers "engine", "actual", "not_included", "findings" ({"kind", "code", "name",
"message"}), "quiesced", "still_seconds" (since the first of them was told to keep still, or None) and "made_bytes";
`state` answers "changed": findings about containers that somebody started, made anew or removed while they were kept
still. `remove` needs the token and the socket alone.
"""

import json
import os
from contextlib import suppress
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from .. import policy, tree, validate, wire
from ..dockers import dumping, holding, lasting, quiesce, reading, saving, scope, writing
from ..dockers.engine import Engine, part
from ..dockers.measuring import Counting, is_empty
from ..dockers.ondisk import SEEN, Kept, write_whole
from ..dockers.planned import Plan, plan
from ..dockers.quiesce import Finding, finding
from .tools import Place, show

_COUNT_SECONDS = 120.0
# While containers keep still every second counts; it was counted a moment before, so it is in the cache.
_COUNT_STILL_SECONDS = 5.0
_MANIFEST = "manifest.json"
# These are not about one dump: what comes after it would fail, too.
_OF_ALL = ("docker-away", "no-room", "io")
Row = Dict[str, Any]


class Volume(NamedTuple):
    """The engine, and what is asked of it; None but for `make`."""

    socket: str
    plan: Optional[Plan]


def volume(args: Dict[str, Any], secrets: Dict[str, Any]) -> Volume:
    """`socket`, and `plan` for `make`."""
    socket = wire.shown(validate.absolute(args.get("socket"), "socket"))
    if args.get("action") != "make":
        return Volume(socket, None)
    policy.check_docker("a backup of containers")
    policy.check_read(wire.raw(SEEN))
    asked = plan(args.get("plan"))
    if asked.dumps:
        policy.check_databases()
    return Volume(socket, asked)


def make(place: Place, volume: Volume, args: Dict[str, Any], hold: Any, control: wire.Control) -> Row:
    """The files, then the containers keep still, then the dumps: they are of the moment that the volumes are of."""
    assert volume.plan is not None
    with Engine(volume.socket, control.check) as engine:
        kept = Kept(place.token)
        kept.make(volume.socket)
        making = _Making(engine, kept, volume.plan, control)
        making.all()
    show(wire.raw(kept.made), place)
    waited = quiesce.still_seconds(kept.rows)
    return dict(making.facts, origins=[SEEN], device=volume.socket, type="docker", still_seconds=waited)


class _Making:
    def __init__(self, engine: Engine, kept: Kept, asked: Plan, control: wire.Control) -> None:
        self.facts: Row = {}
        self._undumped: List[Row] = []
        self._engine = engine
        self._kept = kept
        self._plan = asked
        self._control = control
        self._holder = holding.Holder(engine, kept.token)
        self._counting = Counting(_COUNT_SECONDS, control.check)
        self._seen = reading.to_be_kept(reading.read(engine))
        self._there = scope.by_name(self._seen)
        self._scope, self._told = scope.of(asked, self._seen)

    def all(self) -> None:
        """In the order that keeps everybody still for the shortest time."""
        kept, seen = self._kept, self._seen
        kept.rows, told = quiesce.rows(self._plan.quiesce, seen)
        self._told += told
        wanted = saving.look(self._engine, self._plan.images)
        self._check_room(wanted)
        rows = {row["name"]: row for row in reading.volume_rows(seen)}
        said = {str(one["Name"]): one for one in seen.volumes}
        volumes = [self._volume(rows[name], said[name]) for name in self._scope.volumes]
        binds = writing.binds(seen, self._plan, self._scope, self._counting)
        about, pictures = writing.engine(seen), self._images(wanted)
        self._told += quiesce.keep_still(self._engine, kept.rows, kept.save, self._control)
        volumes = self._count_still(volumes)
        dumps = self._dumps()
        quiesced = [{key: row[key] for key in ("container", "how", "from")} for row in kept.rows if row["begun"]]
        made = writing.Made(about, volumes, binds, pictures, dumps, self._undumped, quiesced)
        table = writing.manifest(seen, self._plan, self._scope, made)
        write_whole(os.path.join(kept.made, _MANIFEST), json.dumps(table, indent=1).encode())
        self._told += writing.findings(table)
        self.facts = {
            "engine": table["engine"],
            "actual": writing.actual(table),
            "not_included": table["not_included"],
            "findings": self._told,
            "quiesced": quiesced,
            "made_bytes": sum(int(row["bytes"]) for row in [*dumps, *pictures] if row.get("bytes")),
        }

    def _check_room(self, wanted: List[Row]) -> None:
        """Images as the engine counts them; a dump takes about what its database takes, of which more is known.

        What cannot be counted is no zero: the room is then looked at while it is written, and that is told.
        """
        needed, unknown = saving.needed(wanted), []
        for asked in self._plan.dumps:
            for mount in self._there.get(asked.container, {}).get("Mounts") or []:
                if mount.get("Type") == "volume":
                    size = self._counting.directory(str(mount.get("Source") or ""))["size_bytes"]
                    needed += size or 0
                    unknown += [asked.container] if size is None else []
        at_least = bool(unknown) or any(said.get("Size") is None for said in wanted)
        self._kept.check_room(needed, "what is saved beside the volumes", at_least)
        message = "how much its volumes hold is not known: whether its dump has room was not known before"
        self._told += [finding("docker", "room_unknown", name, message) for name in dict.fromkeys(unknown)]

    def _volume(self, row: Row, said: Row) -> Row:
        """A row of the manifest; from now on its content is there to be read."""
        path, read, problem = self._reached(said, row["used_by"])
        sized = {"size_bytes": None, "files": None} if path is None else self._counting.directory(path)
        row = {key: value for key, value in row.items() if key != "mountpoint"}
        return dict(
            row, path=path, read=read, problem=problem, still=False, empty=path is not None and is_empty(path), **sized
        )

    def _count_still(self, volumes: List[Row]) -> List[Row]:
        """Once more those whose users all keep still now: "still" is true where borg reads exactly what was counted."""
        quiet = {row["container"] for row in self._kept.rows if row["begun"]}
        counting = Counting(_COUNT_STILL_SECONDS, self._control.check)
        return [self._still(row, quiet, counting) for row in volumes]

    def _still(self, row: Row, quiet: Set[str], counting: Counting) -> Row:
        active = {one for one in row["used_by"] if self._is_active(one)}
        if row["path"] is None or row["files"] is None or not active or not active <= quiet:
            return row
        sized = counting.directory(row["path"])
        return row if sized["files"] is None else dict(row, still=True, empty=is_empty(row["path"]), **sized)

    def _is_active(self, name: str) -> bool:
        return quiesce.state(self._there[name]).get("Status") in ("running", "restarting")

    def _reached(self, said: Row, users: List[str]) -> Tuple[Optional[str], str, Optional[str]]:
        """(where it is read, how, what is in the way)."""
        path, read = str(said.get("Mountpoint") or ""), "path"
        try:
            if holding.needs_holding(said):
                path, read = self._held(said, users)
        except wire.Refused as refusal:
            if refusal.code == "docker-away":
                raise
            return None, "not", refusal.message
        if not path or not os.path.isdir(wire.raw(path)):
            return None, "not", "there is no directory {}".format(path or "of it on this machine")
        if not writing.covered(path, self._plan):
            return None, "not", "its content is at {}, which is not among the paths of this backup".format(path)
        return path, read, None

    def _held(self, said: Row, users: List[str]) -> Tuple[str, str]:
        """Mounted by a container of ours; where that cannot be, by one that goes on running."""
        kept, name = self._kept, str(said["Name"])
        kept.held.append({"volume": name})
        kept.save()
        try:
            kept.held[-1] = self._holder.hold(said)
            return str(kept.held[-1]["source"]), "helper"
        except wire.Refused as refusal:
            kept.held.pop()
            path = str(said.get("Mountpoint") or "")
            if refusal.code == "docker-away" or not path or not self._stays_mounted(path, users):
                raise
            kept.held.append({"volume": name, "holder": None, "source": path, "mounted": True})
            return path, "mounted"
        finally:
            kept.save()

    def _stays_mounted(self, path: str, users: List[str]) -> bool:
        stopped = {row["container"] for row in self._kept.rows if row["how"] == "stop"}
        states = [quiesce.state(self._there[one]).get("Status") for one in users if one not in stopped]
        return tree.is_mounted(wire.raw(path)) and any(one in ("running", "paused") for one in states)

    def _images(self, wanted: List[Row]) -> List[Row]:
        """Those of the containers, and those that are saved."""
        used = {str(self._there[name].get("Image")) for name in self._scope.containers}
        rows = {row["id"]: row for row in reading.image_rows(self._seen)}
        for identity in sorted(used - set(rows)):  # a part of another image, which has no name of its own
            said = self._engine.find("/images/{}/json".format(part(identity)))
            if said is not None:
                rows[identity] = saving.row(said)
        for number, said in enumerate(wanted):
            path = "images/{}.tar".format(number)
            size = saving.save(self._engine, said, self._kept.made, path)
            row = rows.setdefault(str(said["Id"]), saving.row(said))
            row.update(stream=path, bytes=size)
        found = [dict({"stream": None}, **row) for row in rows.values() if row["id"] in used or "stream" in row]
        for row in found:
            names = self._scope.containers
            row["used_by"] = [name for name in names if self._there[name].get("Image") == row["id"]]
        return found

    def _dumps(self) -> List[Row]:
        """Those that are whole. One that is not takes nothing else from the backup: it is told, with its container."""
        rows = []
        for number, asked in enumerate(self._plan.dumps):
            self._control.check()
            path = dumping.path_of(asked.container, asked.engine, number)
            try:
                whole = self._dump(asked.container, asked.engine, path)
            except wire.Refused as refusal:
                if refusal.code in _OF_ALL:
                    raise
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(self._kept.made, path))
                self._undumped.append({"name": asked.container, "reason": refusal.message})
                self._told.append(finding("docker_dump_failed", "dump_failed", asked.container, refusal.message))
                continue
            row = {"container": asked.container, "engine": asked.engine, "path": path, "bytes": whole.size}
            rows.append(dict(row, version=whole.version))
        return rows

    def _dump(self, name: str, kind: str, path: str) -> dumping.Whole:
        known = self._there.get(name)
        said = None if known is None else self._engine.container(str(known["Id"]))
        if said is None:
            raise wire.Refused("missing", "there is no container {} any more that could be dumped".format(name))
        return dumping.dump(self._engine, said, kind, self._kept.made, path)


def state(place: Place, volume: Volume) -> Row:
    """Valid is what is seen still, with every volume that is held; who did not keep still is told in `changed`."""
    kept = Kept(place.token)
    if not kept.load():
        return {"exists": kept.exists(), "valid": False, "used_percent": None, "changed": []}
    there = tree.is_mounted(wire.raw(place.mountpoint)) and os.path.isfile(os.path.join(kept.made, _MANIFEST))
    told: List[Finding] = []
    lost: List[str] = []
    problem = None
    try:
        with Engine(kept.socket or volume.socket) as engine:
            told = lasting.changed(engine, kept.rows)
            lost = holding.lost(engine, place.token, kept.held)
    except wire.Refused as refusal:
        if refusal.code != "docker-away":
            raise
        problem = refusal.message
        lost = [str(row["volume"]) for row in kept.held if not holding.is_there(row)]
    if lost:
        problem = "not mounted any more, so that nothing may have been read of it: {}".format(", ".join(lost))
    return {"exists": True, "valid": there and not lost, "used_percent": None, "changed": told, "problem": problem}


def remove(place: Place, volume: Volume) -> bool:
    """Containers back into their former state, ours and the files gone. True when there was something.

    Raises Refused with all that resists, after everything else was done; then it is to be called again.
    """
    kept = Kept(place.token)
    with kept.alone():
        return _remove(kept, volume)


def _remove(kept: Kept, volume: Volume) -> bool:
    begun = kept.load()
    owed = [row["container"] for row in kept.rows if row["begun"] and not row["back"]]
    problems: List[str] = []
    gone: List[str] = []
    try:
        with Engine(kept.socket or volume.socket) as engine:
            problems = quiesce.bring_back(engine, kept.rows, kept.save_if_possible)
            gone = holding.release(engine, kept.token)
    except wire.Refused as refusal:
        kept.clear()
        if owed or kept.held:
            text = "{}; to be brought back: {}".format(refusal.message, ", ".join(owed) or "nothing")
            raise wire.Refused(refusal.code, text) from None
    if problems:
        kept.clear()
        raise wire.Refused("snapshot", "not everything runs again: {}".format("; ".join(problems)))
    return kept.remove() or begun or bool(gone)
