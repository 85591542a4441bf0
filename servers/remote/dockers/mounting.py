"""Volumes that are mounted only while a container uses them, or that a plugin shows: held while they are filled.

A container of ours holds one (holding.py), as for a backup, and may write. Its name is phpborg-TOKEN-STEP, which is in
the journal before it is made. Nothing in such a volume changes its place with something outside: what is extracted, and
what is kept of the former content, lies in private directories in its top, until the protection ends. To put that back,
or to remove it, the volume is held again.
"""

import os
from contextlib import suppress
from typing import Any, Dict, List, Optional

from .. import policy, staging, tree, validate, wire
from . import holding, keeping
from .engine import Engine, part
from .holding import Holder
from .journal import Record
from .steps import Context, Kind, Note, Problem, Table

HOLD, RELEASE = "hold_volume", "release_volume"


class HoldVolume(Kind):
    """{"volume", "path": where the plan says that its content is}; from now on it is there, to be read and written."""

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, params)
        self._volume = validate.text(params.get("volume"), "volume", limit=255)
        self._path = validate.absolute(params.get("path"), "path")
        policy.check_restore(self._path)

    def prepare(self) -> Table:
        found = _inspected(self.engine, self._volume)
        if found is None:
            raise wire.Refused("missing", "there is no volume {}".format(self._volume))
        device = str((found.get("Options") or {}).get("device") or "")
        if device.startswith("/"):  # what is put at its path lands there
            policy.check_restore(os.path.normpath(wire.raw(device)))
        context = self.context
        row = {"volume": self._volume, "path": wire.shown(self._path), "token": context.token, "step": context.number}
        return dict(row, holder=holding.name_of(context.token, context.number))

    def apply(self, note: Note) -> Table:
        undo = self.prepare()
        mounted = ensure(self.engine, undo)
        note({"used": True})
        self._check_writable(note)
        return {"volume": self._volume, "mounted": mounted}

    def _check_writable(self, note: Note) -> None:
        """Can what is there be kept aside in it, where nobody but root can change it? Before anything is stopped."""
        try:
            keep = keeping.opened(self._path, self.context.token, make=True)
        except (OSError, wire.Refused) as error:
            problem = error.message if isinstance(error, wire.Refused) else str(error.strerror)
            text = "what is in the volume {} cannot be kept aside in it, so nothing of it is replaced: {}"
            raise wire.Refused("engine", text.format(self._volume, problem), volume=self._volume) from None
        try:
            note({"keep": keeping.Mark.of(os.fstat(keep))})
        finally:
            os.close(keep)

    @staticmethod
    def undo(engine: Engine, record: Record) -> Optional[str]:
        """Nothing of ours stays in it, and it is let go. What was never held holds nothing of ours."""
        undo = record.undo
        try:
            if undo.get("used") and _inspected(engine, undo["volume"]) is not None:
                ensure(engine, undo)
                return _clean(undo)
        except wire.Refused as refusal:
            raise Problem(refusal.message) from None
        finally:
            holding.release_one(engine, undo["token"], undo["holder"])
        return None


class ReleaseVolume(Kind):
    """{"volume"}: it was filled. What is kept stays in it; what was extracted and not used does not."""

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, params)
        self._volume = validate.text(params.get("volume"), "volume", limit=255)

    def prepare(self) -> Table:
        return {"volume": self._volume}

    def apply(self, note: Note) -> Table:
        records = self.context.records
        hold = next((one for one in records if _holds(one, self._volume)), None)
        if hold is None:
            raise wire.Refused("missing", "the volume {} is not held".format(self._volume))
        held = hold.undo
        ensure(self.engine, held)
        _unstage(held)
        if not any(is_for(one, hold) for one in records):
            keeping.remove_empty(wire.raw(held["path"]), held["token"])
        kept = keeping.size(wire.raw(held["path"]), held["token"], held.get("keep"))
        holding.release_one(self.engine, held["token"], held["holder"])
        return {"volume": self._volume, "kept_bytes": kept}


def _holds(record: Record, volume: str) -> bool:
    return record.op == HOLD and not record.undone and bool(record.undo["volume"] == volume)


def held_at(records: List[Record], path: bytes) -> Optional[Table]:
    """What the journal says of the volume whose content is at this path; None for one that nobody has to hold.

    Raises Refused when it is not mounted any more: what is put there would not be in it.
    """
    for record in records:
        if record.op == HOLD and not record.undone and wire.raw(record.undo["path"]) == path:
            if (record.facts or {}).get("mounted") and not tree.is_mounted(path):
                text = "the volume {} is not mounted any more: what is put at {} now would not be in it"
                raise wire.Refused("engine", text.format(record.undo["volume"], wire.shown(path)))
            return record.undo
    return None


def is_for(record: Record, hold: Record) -> bool:
    """Has this step put something into the volume that the other one holds?"""
    return hold.op == HOLD and (record.undo.get("held") or {}).get("step") == hold.number


def let_go(engine: Optional[Engine], hold: Record) -> None:
    """It is not held longer than somebody works on it, also when something in it could not be put back yet."""
    if engine is not None:
        with suppress(wire.Refused):
            holding.release_one(engine, hold.undo["token"], hold.undo["holder"])


def ensure(engine: Optional[Engine], held: Table) -> bool:
    """It is there, at the place that was planned, held by our container: the one that runs, or a new one.

    Answers whether it is a mount. Raises Refused with the reason.
    """
    if engine is None:
        raise wire.Refused("engine", "the engine does not answer: the volume {} is not there".format(held["volume"]))
    volume = _inspected(engine, held["volume"])
    if volume is None:
        raise wire.Refused("engine", "the volume {} is gone, with what was kept in it".format(held["volume"]))
    found = holding.found(engine, held["token"], held["holder"], held["volume"])
    try:
        if found is None:
            holding.release_one(engine, held["token"], held["holder"])
            found = Holder(engine, held["token"]).hold(volume, held["step"])
        if wire.raw(str(found["source"])) != wire.raw(held["path"]):
            raise wire.Refused("snapshot", "it is at {} and not at {}".format(found["source"], held["path"]))
    except wire.Refused as refusal:
        if refusal.code == "docker-away":
            raise
        text = "the volume {} cannot be mounted: {}".format(held["volume"], refusal.message)
        raise wire.Refused("engine", text, volume=held["volume"]) from None
    return bool(found["mounted"])


def forget(engine: Optional[Engine], held: Table, control: wire.Control) -> Optional[str]:
    """Remove what is kept in it; why not, or None. With the volume went what was kept in it."""
    if engine is None:
        return "the engine does not answer"
    try:
        if _inspected(engine, held["volume"]) is None:
            return None
        ensure(engine, held)
        _unstage(held)
        return keeping.remove(wire.raw(held["path"]), held["token"], control, known=held.get("keep"))
    finally:
        holding.release_one(engine, held["token"], held["holder"])


def _inspected(engine: Engine, volume: str) -> Optional[Dict[str, Any]]:
    found: Optional[Dict[str, Any]] = engine.find("/volumes/" + part(volume))
    return found


def _clean(held: Table) -> Optional[str]:
    """Everything was put back: nothing of ours is left in it but what is others'. A remark, or None."""
    _unstage(held)
    above, known = wire.raw(held["path"]), held.get("keep")
    return keeping.remove(above, held["token"], wire.Control(0), all_of_it=False, known=known)


def _unstage(held: Table) -> None:
    """What was extracted into it goes while it can be reached: nobody mounts it for that later."""
    above, _ = tree.walk_to(wire.raw(held["path"]))
    try:
        name = staging.staging_name(held["token"])
        if tree.look(name, above) is not None:
            os.close(staging.checked_staging(above, held["token"]))
            tree.remove(name, above, wire.Control(0))
    finally:
        os.close(above)
