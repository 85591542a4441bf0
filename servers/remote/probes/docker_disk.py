"""What lies on the disk of what Docker's engine tells: kinds of places, Compose's own files, sizes."""

import os
import stat
from typing import Any, Callable, Dict, List, Optional

from .. import policy, wire
from . import base, compose_file

_KINDS = ((stat.S_ISDIR, "directory"), (stat.S_ISREG, "file"), (stat.S_ISSOCK, "socket"))
_MOST_FILES = 500


def plainly_a_file(path: str) -> bool:
    """Is there a file at this path of the machine?"""
    return os.path.isfile(wire.raw(path))


def uncounted(is_file: Callable[[str], bool]) -> "Disk":
    """One of which no sizes are asked."""
    return Disk(base.Look({}, size_seconds=0), is_file)


class Disk:
    """The machine's own files. Every method is safe to call: what is not there is an answer."""

    def __init__(self, look: base.Look, is_file: Optional[Callable[[str], bool]] = None) -> None:
        self._look = look
        # Is there a file at this path?
        self.is_file = is_file or plainly_a_file

    def dockerfile(self, mounts: List[Dict[str, Any]]) -> Optional[str]:
        """A Dockerfile in a directory that is mounted, beside it, or one level above."""
        for mount in mounts:
            directory = mount["source"] if mount["type"] == "bind" else None
            for _ in range(3):
                if not directory or directory == "/":
                    break
                path = os.path.join(directory, "Dockerfile")
                if self.is_file(path):
                    return path
                directory = os.path.dirname(directory)
        return None

    def place(self, path: str) -> Dict[str, Any]:
        """What is at a path (a link is followed, and told), and how large it is where that is soon known."""
        kind, target = self.kind(path)
        size: Optional[int] = None
        if kind == "directory" and path != "/":
            size = self._look.size(path)[0]
        elif kind == "file":
            size = os.stat(wire.raw(path)).st_size
        return {"kind": kind, "target": target, "size_bytes": size}

    def kind(self, path: str) -> "tuple[str, Optional[str]]":
        """directory, file, socket, other or missing; and where it leads when the path itself is a link."""
        raw = wire.raw(path)
        try:
            target = wire.shown(os.path.realpath(raw)) if os.path.islink(raw) else None
            mode = os.stat(raw).st_mode
        except (OSError, ValueError):
            return "missing", None
        return next((name for test, name in _KINDS if test(mode)), "other"), target

    def volume(self, said: Dict[str, Any]) -> Dict[str, Any]:
        """Whether the content of a volume is at its directory at this moment; options mount it only while it is used.

        `readable`: None when nobody can say. `empty` and the size: of what is there now.
        """
        path, options = said.get("Mountpoint") or "", said.get("Options") or {}
        found: Dict[str, Any] = {"readable": False, "empty": None, "size_bytes": None}
        if not path or not os.path.isdir(wire.raw(path)):
            return found
        is_local = said.get("Driver") == "local"
        needs_mount = not is_local or bool({"type", "device", "o"} & set(options))
        if needs_mount and not os.path.ismount(wire.raw(path)):
            return found if is_local else dict(found, readable=None)
        try:
            with os.scandir(wire.raw(path)) as entries:
                found["empty"] = next(entries, None) is None
        except OSError:
            return found
        return dict(found, readable=True, size_bytes=self._look.size(path)[0])

    def complete(self, project: Dict[str, Any]) -> None:
        """What Compose's files name, added to the project; and which of them are not there any more."""
        directory = project["working_dir"]
        kind, target = self.kind(directory) if directory else ("missing", None)
        usual = os.path.join(directory or "/", ".env")
        named = compose_file.nothing(compose_file.variables_of(self._text(usual) or "") if directory else {})
        problems = [self._read(path, directory or os.path.dirname(path), named) for path in project["config_files"]]
        wanted = [*project["environment_files"], *named.environment]
        if directory and usual not in wanted and self.is_file(usual):
            wanted.append(usual)  # read by every version without being named in a label
        project["environment_files"] = list(dict.fromkeys(wanted))[:_MOST_FILES]
        project.update(
            directory=kind,
            target=target,
            profiles=sorted(named.profiles),
            builds=[{**one, "exists": os.path.isdir(wire.raw(one["context"] or "/"))} for one in named.builds],
            files=named.files,
            unclear=named.unclear,
            problem="; ".join(filter(None, problems)) or None,
        )
        told = [*project["config_files"], *project["environment_files"], *named.files]
        project["missing_files"] = [path for path in told if not os.path.exists(wire.raw(path))]
        project["size_bytes"] = (
            self._look.size(target or directory)[0] if kind == "directory" and directory != "/" else None
        )

    def _read(self, path: str, directory: str, named: compose_file.Named) -> Optional[str]:
        """Add what one Compose file names; answers what kept it from being understood."""
        text = self._text(path)
        if text is None:
            return None  # it is among the missing ones, no plain file, or not to be read
        try:
            one = compose_file.named(text, directory, named.variables)
        except compose_file.Odd as odd:
            return "{} is not understood: {}".format(path, odd)
        for field in compose_file.Named._fields[:-1]:
            mine: List[Any] = getattr(named, field)
            mine.extend(row for row in getattr(one, field) if row not in mine)
        return None

    def _text(self, path: str) -> Optional[str]:
        """A plain file that we may look at; None when it is none."""
        try:
            policy.check_look(wire.raw(path))
        except wire.Refused:
            return None
        return self._look.read(path, compose_file.LIMIT_BYTES)
