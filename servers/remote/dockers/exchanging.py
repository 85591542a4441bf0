"""The step that puts what was extracted in place: entries change places with those that are there, nothing is copied.

What was there goes into a keeping directory on the same filesystem (keeping.py): beside the target, or inside it where
the target itself cannot be renamed, a mount point or a subvolume. Then its entries are exchanged one by one, those that
the archive does not have are kept aside too, and the directory gets the owner, mode and times of the archived one.
A volume that has to be held mounted (mounting.py) keeps what it held inside itself; to undo, it is held again.
"""

import os
import stat
from typing import List, Optional, Set, Tuple

from .. import copying, policy, staging, tree, validate, wire
from . import below, keeping, merging, mounting, owners, unused
from .engine import Engine
from .journal import Record
from .keeping import Mark
from .merging import Pair
from .steps import Context, Kind, Note, Problem, Table


class Exchange(Kind):
    """{"target", "stage": the directory of the verb `stage`, "source": its path in the archive, "whole", "items",
    "mode": of the target's own entry or null, "made": directories above it that `stage` made}
    """

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, params)
        self._target = validate.absolute(params.get("target"), "target")
        if self._target == b"/":
            raise wire.Refused("invalid", "nothing takes the place of the whole system")
        self._stage = validate.absolute(params.get("stage"), "stage")
        for path in (self._target, self._stage):
            policy.check_restore(path)
        source = validate.text(params.get("source"), "source")
        self._source = validate.relative(source.lstrip("/"), "source")
        self._whole = params.get("whole", True) is True
        items = params.get("items")
        self._items: Optional[List[bytes]] = None
        if items is not None:
            self._items = [validate.relative(item, "items") for item in validate.texts(items, "items", merging.MOST)]
        mode = params.get("mode")
        self._mode = None if mode is None else validate.number(mode, "mode", 0, 0o7777)
        made = validate.texts(params.get("made") or [], "made", merging.MOST)
        self._made = [validate.absolute(path, "made") for path in made]
        self._undo: Table = {}
        self._held: Optional[Table] = None
        self._pairs: List[Pair] = []

    def prepare(self) -> Table:
        unused.check(self.engine, self._target, self.context.token)
        self._held = mounting.held_at(self.context.records, self._target)
        staged = self._open_staging()
        try:
            self._pairs = self._find_pairs(staged)
            inside = self._stays()
            above = self._target if inside else keeping.split(self._target)[0]
            # A directory whose other entries all stay keeps its own owner and times.
            dress = self._whole_content(inside)
            moves = [self._move(pair, number, staged) for number, pair in enumerate(self._pairs)]
            places = [keeping.split(pair.place)[0] for pair in self._pairs] + [above]
            made = sorted({*self._made, *(path for place in places for path in _missing(place))})
        finally:
            os.close(staged)
        self._undo = {
            "above": wire.shown(above),
            "token": self.context.token,
            "number": self.context.number,
            "stage": wire.shown(self._stage),
            "moves": moves,
            "made": [wire.shown(path) for path in made],
            "dress": wire.shown(self._target) if dress else None,
            "owner": owners.of(_status(self._target)) if dress else None,
            "held": self._held,
        }
        return self._undo

    def _stays(self) -> bool:
        """Is it the target's entries that change places, and never the target?"""
        return self._held is not None or cannot_be_renamed(self._target)

    def _whole_content(self, inside: bool) -> bool:
        """Are the target's entries exchanged, and not the target?"""
        return self._items is None and (inside or not self._whole)

    def _open_staging(self) -> int:
        parent, _ = tree.walk_to(self._stage)
        try:
            return staging.checked_staging(parent, self.context.token)
        finally:
            os.close(parent)

    def _find_pairs(self, staged: int) -> List[Pair]:
        if self._items is not None:
            return merging.pairs(staged, self._source, self._target, self._items, self.context.control)
        if not self._whole_content(self._stays()):
            return [Pair(self._source, self._target)]
        source = below.opened_below(self._source, staged)
        try:
            coming = self._content(source)
        finally:
            os.close(source)
        target, _ = tree.walk_to(self._target)
        try:
            there = self._content(target)
        finally:
            os.close(target)
        # An own directory of a filesystem stays where it is.
        there = {name for name in there if name in coming or name != b"lost+found"}
        return [
            Pair(self._source + b"/" + name if name in coming else None, self._target + b"/" + name)
            for name in sorted(coming | there)
        ]

    def _content(self, directory: int) -> Set[bytes]:
        """The names in it, without those of this restore and of others."""
        ours = {staging.staging_name(self.context.token), keeping.name_of(self.context.token)}
        return {name for name in tree.names(directory) if name not in ours and not keeping.is_of_a_restore(name)}

    def _move(self, pair: Pair, number: int, staged: int) -> Table:
        coming = None if pair.staged is None else below.status_below(pair.staged, staged)
        former = _status(pair.place)
        if coming is not None and former is not None and stat.S_ISLNK(former.st_mode) != stat.S_ISLNK(coming.st_mode):
            text = "{} is a symbolic link here or in the archive, and not in both"
            raise wire.Refused("unsafe", text.format(wire.shown(pair.place)), path=wire.shown(pair.place))
        mounts = tree.mount_points(pair.place) if former is not None else []
        if mounts:
            raise wire.Refused("unsafe", "a filesystem is mounted at {}".format(wire.shown(mounts[0][0])))
        device = os.fstat(staged).st_dev
        if coming is not None and (coming.st_dev != device or _device(keeping.split(pair.place)[0]) != device):
            text = "{} is on another filesystem than what was extracted for it"
            raise wire.Refused("invalid", text.format(wire.shown(pair.place)))
        return {
            "directory": wire.shown(keeping.split(pair.place)[0]),
            "name": wire.shown(keeping.split(pair.place)[1]),
            "base": "{}-{}".format(self.context.number, number),
            "staged": None if pair.staged is None else wire.shown(pair.staged),
            "new": Mark.of(coming),
            "old": Mark.of(former),
            "owner": owners.of(former),
        }

    def apply(self, note: Note) -> Table:
        staged = self._open_staging()
        above = wire.raw(self._undo["above"])
        try:
            for path in [above, *(keeping.split(pair.place)[0] for pair in self._pairs)]:
                os.close(tree.walk_to(path, create=True)[0])
            keep = keeping.opened(above, self.context.token, make=True)
            try:
                note({"keep": Mark.of(os.fstat(keep))})
                for pair, move in zip(self._pairs, self._undo["moves"]):
                    self.context.control.check()
                    self._put(pair, move, keep, staged)
                if self._undo["dress"] is not None:
                    self._dress(keep, staged)
            finally:
                os.close(keep)
        finally:
            os.close(staged)
        former = sum(1 for move in self._undo["moves"] if move["old"] is not None)
        put = sum(1 for move in self._undo["moves"] if move["new"] is not None)
        return {"target": wire.shown(self._target), "put": put, "kept": former}

    def _put(self, pair: Pair, move: Table, keep: int, staged: int) -> None:
        directory, _ = tree.walk_to(keeping.split(pair.place)[0])
        source: Optional[Tuple[int, bytes]] = None
        try:
            if pair.staged is not None:
                source = below.above_below(pair.staged, staged)
                if self._mode is not None and pair.place == self._target:
                    owners.chmod(source[1], source[0], self._mode)
            keeping.put(move, keep, directory, source)
        finally:
            os.close(directory)
            if source is not None:
                os.close(source[0])

    def _dress(self, keep: int, staged: int) -> None:
        """The target gets the metadata of the archived directory; its own are kept as those of an empty one."""
        meta = _meta(self._undo)
        os.mkdir(meta + b".part", 0o700, dir_fd=keep)
        kept = tree.open_directory(meta + b".part", keep)
        target, _ = tree.walk_to(self._target)
        source = below.opened_below(self._source, staged)
        try:
            copying.copy_metadata(target, kept)
            os.rename(meta + b".part", meta, src_dir_fd=keep, dst_dir_fd=keep)
            copying.copy_metadata(source, target)
            if self._mode is not None:
                os.fchmod(target, self._mode)
        finally:
            for descriptor in (kept, target, source):
                os.close(descriptor)

    @staticmethod
    def undo(engine: Engine, record: Record) -> Optional[str]:
        undo = record.undo
        if undo.get("held"):
            mounting.ensure(engine, undo["held"])
        try:
            keep = keeping.opened(wire.raw(undo["above"]), undo["token"], known=undo.get("keep"))
        except wire.Refused as refusal:
            if refusal.code != "missing" or not all(_is_untouched(move) for move in undo["moves"]):
                raise Problem(refusal.message) from None
            _remove_made(undo["made"])
            return None
        try:
            remarks = [_give_back(move, keep) for move in reversed(undo["moves"])]
            _undress(undo, keep)
            _stage_again(undo, keep)
        finally:
            os.close(keep)
        if undo.get("held"):
            # While it is mounted: nobody mounts it for that later (finish_undo).
            _remove_made(undo["made"])
        return "; ".join(remark for remark in remarks if remark) or None


def finish_undo(record: Record, control: wire.Control) -> Optional[str]:
    """After all is undone: nothing of it is left but what is others'. Answers a remark or None.

    In a volume that was held, that was done before it was let go.
    """
    if record.undo.get("held"):
        return None
    undo = record.undo
    remark = keeping.remove(wire.raw(undo["above"]), undo["token"], control, all_of_it=False, known=undo.get("keep"))
    _remove_made(undo["made"])
    return remark


def forget(engine: Optional[Engine], record: Record, control: wire.Control) -> Optional[str]:
    """Remove what was kept; why not, or None."""
    undo = record.undo
    if undo.get("held"):
        return mounting.forget(engine, undo["held"], control)
    return keeping.remove(wire.raw(undo["above"]), undo["token"], control, known=undo.get("keep"))


def _give_back(move: Table, keep: int) -> Optional[str]:
    try:
        directory, _ = tree.walk_to(wire.raw(move["directory"]))
    except wire.Refused as refusal:
        if refusal.code == "missing" and move["old"] is None:
            return None
        raise Problem(refusal.message) from None
    try:
        return keeping.give_back(move, keep, directory)
    except LookupError as error:
        raise Problem(str(error)) from None
    finally:
        os.close(directory)


def _is_untouched(move: Table) -> bool:
    return Mark.of(_status(wire.raw(move["directory"]).rstrip(b"/") + b"/" + wire.raw(move["name"]))) == Mark.read(
        move["old"]
    )


def _meta(undo: Table) -> bytes:
    return b"%d.meta" % int(undo["number"])


def _undress(undo: Table, keep: int) -> None:
    """The target gets its own metadata back."""
    meta = _meta(undo)
    if tree.look(meta, keep) is not None:
        owners.give(meta, keep, undo.get("owner"))
        kept = tree.open_directory(meta, keep)
        target, _ = tree.walk_to(wire.raw(undo["dress"]))
        try:
            copying.copy_metadata(kept, target)
        finally:
            os.close(kept)
            os.close(target)
    for name in (meta, meta + b".part"):
        if tree.look(name, keep) is not None:
            os.rmdir(name, dir_fd=keep)


def _stage_again(undo: Table, keep: int) -> None:
    """What had been extracted goes back to where it was, while that is there: the step may be carried out again."""
    try:
        parent, _ = tree.walk_to(wire.raw(undo["stage"]))
    except wire.Refused:
        return
    try:
        staged = staging.checked_staging(parent, undo["token"])
    except wire.Refused:
        return
    finally:
        os.close(parent)
    try:
        for move in undo["moves"]:
            new = Mark.read(move["new"])
            name = None if new is None else keeping.find(new, wire.raw(move["base"]), keep)
            if name is None:
                continue
            try:
                directory, last = below.above_below(wire.raw(move["staged"]), staged)
            except wire.Refused:
                continue  # it was being removed
            try:
                if tree.look(last, directory) is None:
                    copying.rename_new(name, keep, last, directory)
            finally:
                os.close(directory)
    finally:
        os.close(staged)


def _remove_made(made: List[str]) -> None:
    """Directories that were made on the way, while nothing is in them."""
    for path in sorted(map(wire.raw, made), key=len, reverse=True):
        above, name = keeping.split(path)
        try:
            directory, _ = tree.walk_to(above)
        except wire.Refused:
            continue
        try:
            os.rmdir(name, dir_fd=directory)
        except OSError:
            pass  # gone, or somebody uses it
        finally:
            os.close(directory)


def _missing(path: bytes) -> List[bytes]:
    """The path and those above it that are not there, shortest first. No link is followed."""
    found = []
    while path != b"/" and _status(path) is None:
        found.append(path)
        path = keeping.split(path)[0]
    return sorted(found, key=len)


def _status(path: bytes) -> Optional[os.stat_result]:
    """What is at a path (a link is a link), or None. Raises Refused when a link is on the way."""
    above, name = keeping.split(path)
    try:
        directory, _ = tree.walk_to(above)
    except wire.Refused as refusal:
        if refusal.code == "missing":
            return None
        raise
    try:
        return tree.look(name, directory)
    finally:
        os.close(directory)


def _device(path: bytes) -> int:
    """Of the filesystem where this directory is, or would be made."""
    while path != b"/":
        status = _status(path)
        if status is not None:
            return status.st_dev
        path = keeping.split(path)[0]
    return os.stat(b"/").st_dev


def cannot_be_renamed(path: bytes) -> bool:
    """A mount point, or the top of a subvolume: it stays, and its entries change."""
    status = _status(path)
    if status is None or not stat.S_ISDIR(status.st_mode):
        return False
    return tree.is_mounted(path) or status.st_dev != _device(keeping.split(path)[0])
