"""The verb `place`: moves what was extracted into the target, entry by entry, each in one step.

Directories are merged. What is in the way is treated by the rule: keep, replace, newer, rename. No
symbolic link is followed on either side. What is replaced goes to the staging directory and leaves
with it.
"""

import errno
import os
import stat
from typing import Any, Dict, List, Optional, Tuple

from . import copying, policy, staging, tree, validate, wire

_RULES = ["keep", "replace", "newer", "rename"]
_LISTED = 200


class Report:
    """What became of the entries: counts of all, names of the first of each kind.

    `staged` is how many entries were extracted: the caller compares it with what the archive holds.
    """

    def __init__(self) -> None:
        self.counts = {"staged": 0, "placed": 0, "merged": 0, "kept": 0, "replaced": 0, "renamed": 0, "failed": 0}
        self.lists: Dict[str, List[Dict[str, str]]] = {"kept": [], "replaced": [], "renamed": [], "failed": []}

    def add(self, what: str, path: bytes, number: int = 1, **more: str) -> None:
        """Note an entry (and those below it)."""
        self.counts[what] += number
        listed = self.lists.get(what)
        if listed is not None and len(listed) < _LISTED:
            listed.append(dict(more, path=wire.shown(path)))

    def answer(self) -> Dict[str, Any]:
        """As the caller gets it."""
        return dict(self.counts, lists=self.lists)


class Mover:
    """Moves entries of one restore."""

    def __init__(self, rule: str, token: str, control: wire.Control) -> None:
        self.rule = rule
        self.control = control
        self.report = Report()
        self._token = token
        self._temporary = 0

    def move(self, source: bytes, source_dir: int, name: bytes, directory: int, path: bytes) -> None:
        """Bring one entry to `name` in `directory`; a failure is noted and the rest goes on."""
        self.control.check()
        try:
            self._move(source, source_dir, name, directory, path)
        except wire.Refused as refusal:
            self.report.add("failed", path, reason=refusal.message)
        except OSError as error:
            self.report.add("failed", path, reason=error.strerror or str(error))

    def _move(self, source: bytes, source_dir: int, name: bytes, directory: int, path: bytes) -> None:
        coming = os.stat(source, dir_fd=source_dir, follow_symlinks=False)
        there = tree.look(name, directory)
        if there is None:
            number = tree.count(source, source_dir, self.control)
            self._bring(source, source_dir, name, directory, path)
            self.report.add("placed", path, number)
        elif tree.is_directory(coming) and tree.is_directory(there):
            self._merge(source, source_dir, name, directory, path, self.rule == "replace")
            self.report.add("merged", path)
        else:
            self._conflict(source, source_dir, name, directory, path, coming, there)

    def _conflict(
        self,
        source: bytes,
        source_dir: int,
        name: bytes,
        directory: int,
        path: bytes,
        coming: os.stat_result,
        there: os.stat_result,
    ) -> None:
        newer = self.rule == "newer" and coming.st_mtime_ns > there.st_mtime_ns
        if self.rule == "rename":
            free = self._free_name(name, directory)
            number = tree.count(source, source_dir, self.control)
            self._bring(source, source_dir, free, directory, path)
            self.report.add("renamed", path, number, name=wire.shown(free))
        elif self.rule == "replace" or newer:
            if tree.is_directory(there):
                raise wire.Refused("exists", "a directory is in the way")
            self._replace(source, source_dir, name, directory)
            self.report.add("replaced", path)
        else:
            self.report.add("kept", path)

    def _free_name(self, name: bytes, directory: int) -> bytes:
        for number in range(1, 10000):
            suffix = b".restored" if number == 1 else b".restored-%d" % number
            candidate = name[: 255 - len(suffix)] + suffix
            if tree.look(candidate, directory) is None:
                return candidate
        raise wire.Refused("exists", "no free name was found")

    def _temporary_name(self) -> bytes:
        self._temporary += 1
        return ".phpborg-new-{}-{}".format(self._token, self._temporary).encode("ascii")

    def _bring(self, source: bytes, source_dir: int, name: bytes, directory: int, path: bytes) -> None:
        """Move to a free name, across filesystems if need be."""
        with _Movable(source, source_dir):
            try:
                copying.rename_new(source, source_dir, name, directory)
                return
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
        if tree.is_directory(os.stat(source, dir_fd=source_dir, follow_symlinks=False)):
            os.mkdir(name, 0o700, dir_fd=directory)
            self._merge(source, source_dir, name, directory, path, True)
        else:
            self._copy(source, source_dir, name, directory, replace=False)

    def _copy(self, source: bytes, source_dir: int, name: bytes, directory: int, replace: bool) -> None:
        temporary = self._temporary_name()
        try:
            copying.copy_entry(source, source_dir, temporary, directory, self.control)
            if replace:
                os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            else:
                copying.rename_new(temporary, directory, name, directory)
        except BaseException:
            if tree.look(temporary, directory) is not None:
                os.unlink(temporary, dir_fd=directory)
            raise

    def _replace(self, source: bytes, source_dir: int, name: bytes, directory: int) -> None:
        """Put the entry where another one is; there is no moment without either."""
        with _Movable(source, source_dir) as coming:
            try:
                if stat.S_ISDIR(coming.st_mode):
                    copying.exchange(source, source_dir, name, directory)
                else:
                    os.rename(source, name, src_dir_fd=source_dir, dst_dir_fd=directory)
                return
            except OSError as error:
                if error.errno != errno.EXDEV or stat.S_ISDIR(coming.st_mode):
                    raise
        self._copy(source, source_dir, name, directory, replace=True)

    def _merge(self, source: bytes, source_dir: int, name: bytes, directory: int, path: bytes, dress: bool) -> None:
        """Move the entries of one directory into another; `dress`: it also gets the first one's metadata."""
        coming = tree.open_directory(source, source_dir)
        try:
            there = tree.open_directory(name, directory)
            try:
                mode = stat.S_IMODE(os.fstat(coming).st_mode)
                times = os.fstat(coming)
                if os.geteuid():
                    os.fchmod(coming, mode | 0o700)
                for child in sorted(tree.names(coming)):
                    self.move(child, coming, child, there, path + b"/" + child)
                # Taking the entries out has changed the times of the directory that they came in.
                os.fchmod(coming, mode)
                os.utime(coming, ns=(times.st_atime_ns, times.st_mtime_ns))
                if dress:
                    copying.copy_metadata(coming, there)
            finally:
                os.close(there)
        finally:
            os.close(coming)


class _Movable:
    """An unprivileged account may move a directory only while it can write to it."""

    def __init__(self, name: bytes, directory: int) -> None:
        self._name = name
        self._directory = directory
        self._opened = -1
        self._mode = 0

    def __enter__(self) -> os.stat_result:
        status = os.stat(self._name, dir_fd=self._directory, follow_symlinks=False)
        if os.geteuid() and stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o200:
            os.chmod(self._name, 0o700, dir_fd=self._directory)
            self._opened = tree.open_directory(self._name, self._directory)
            self._mode = stat.S_IMODE(status.st_mode)
        return status

    def __exit__(self, *_: Any) -> None:
        if self._opened >= 0:
            os.fchmod(self._opened, self._mode)
            os.close(self._opened)


def _items(args: Dict[str, Any], opened: int) -> List[Tuple[bytes, bytes]]:
    """(path in the staging directory, path below the target) of what is to be moved."""
    strip = args.get("strip", False)
    if args.get("items") is None:
        return [(name, name) for name in sorted(tree.names(opened))]
    items = [validate.relative(item, "item") for item in validate.texts(args["items"], "items")]
    pairs = [(item, item.rsplit(b"/", 1)[-1] if strip is True else item) for item in items]
    if len({place for _, place in pairs}) != len(pairs):
        raise wire.Refused("invalid", "two of the chosen items have the same name; restore them with their full paths")
    return pairs


def _parent(path: bytes, root: int, create: bool) -> Tuple[Optional[int], bytes]:
    """Open the directory above a relative path: (descriptor or None when it is missing, last name)."""
    *above, name = path.split(b"/")
    current = os.dup(root)
    for part in above:
        try:
            made = tree.look(part, current) is None
            if made and not create:
                return None, name
            if made:
                os.mkdir(part, 0o755, dir_fd=current)
            following = tree.open_directory(part, current)
        finally:
            os.close(current)
        current = following
        if made:
            # By its descriptor: the owner of the directory above may have put a link there meanwhile.
            os.fchmod(current, 0o755)
    return current, name


def _place_item(mover: Mover, item: bytes, place: bytes, staged: int, target: int) -> None:
    source_dir: Optional[int] = None
    directory: Optional[int] = None
    try:
        source_dir, source = _parent(item, staged, create=False)
        if source_dir is None or tree.look(source, source_dir) is None:
            mover.report.add("failed", item, reason="it was not extracted")
            return
        mover.report.counts["staged"] += tree.count(source, source_dir, mover.control)
        directory, name = _parent(place, target, create=True)
        assert directory is not None
        mover.move(source, source_dir, name, directory, place)
    except wire.Refused as refusal:
        mover.report.add("failed", item, reason=refusal.message)
    finally:
        for descriptor in (source_dir, directory):
            if descriptor is not None:
                os.close(descriptor)


def place(request: wire.Request, control: wire.Control) -> None:
    """Move the extracted items (or all) into the target; answers the report."""
    args = request.args
    path = validate.absolute(args.get("target"), "target")
    policy.check_restore(path)
    token = validate.token(args.get("token"))
    rule = validate.choice(args.get("conflict"), "conflict", _RULES)
    target, _ = tree.walk_to(path)
    try:
        staged = staging.checked_staging(target, token)
        try:
            mover = Mover(rule, token, control)
            for item, where in _items(args, staged):
                _place_item(mover, item, where, staged, target)
        finally:
            os.close(staged)
    finally:
        os.close(target)
    wire.answer(mover.report.answer())
