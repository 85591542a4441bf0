"""The plan of a restore: every final path, in order, with the command lines; shown, then carried out."""

from __future__ import annotations

import os
import posixpath
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from backups.borg import argv as commands
from backups.models import Archive
from phpborg.errors import InvalidInput
from recovery import paths
from recovery.errors import ArchiveGone, NothingSelected
from recovery.models import Restore
from servers.models import Server

# Borg gets the chosen paths in its command line; more than this and it is run several times.
BATCH_BYTES = 100_000
MOST_PATHS = 20_000
# So many are put in place by one request.
PORTION = 20_000


@dataclass(frozen=True)
class Item:
    """One chosen path of the archive and where it ends up on the server. Both are bytes."""

    source: bytes  # b"" = the whole archive
    final: bytes

    @property
    def shown_source(self) -> str:
        return paths.shown(self.source) or "/"

    @property
    def shown_final(self) -> str:
        return paths.shown(self.final)


@dataclass(frozen=True)
class PlanStep:
    """One step: what it does, what it runs, what it touches, how it is undone."""

    code: str
    text: str  # with named placeholders for `facts`: what is stored is translated for its reader
    argv: tuple[str | bytes, ...] = ()
    touches: tuple[str, ...] = ()
    undo: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    into: tuple[str, ...] = ()  # what reads the output of `argv`

    @property
    def sentence(self) -> str:
        """What the step does, with its facts; for people."""
        return self.text.format(**self.facts) if self.facts else self.text

    @property
    def command(self) -> str:
        """The command line as a shell would want it; for people."""
        return " | ".join(_shown(line) for line in (self.argv, self.into) if line)


def _shown(argv: tuple[str | bytes, ...]) -> str:
    return shlex.join(os.fsencode(word).decode("utf-8", "backslashreplace") for word in argv)


@dataclass(frozen=True)
class RestorePlan:
    """Everything that a restore will do. `target` is the folder in which `items` (relative) end up."""

    archive: str
    server: str
    target: bytes
    strip: int
    conflict: str
    items: tuple[Item, ...]
    steps: tuple[PlanStep, ...] = field(default=())

    @property
    def whole(self) -> bool:
        """The whole archive, not single paths."""
        return len(self.items) == 1 and self.items[0].source == b""

    def placed(self, found: Sequence[bytes]) -> list[list[bytes]]:
        """The outermost entries that were `found` in the archive, as they lie in the staging folder; in portions."""
        lie = [b"/".join(paths.split(path)[self.strip :]) for path in found]
        return [lie[start : start + PORTION] for start in range(0, len(lie), PORTION)]

    def batches(self) -> list[tuple[bytes, ...]]:
        """The chosen paths in portions that fit into a command line; one empty portion for the whole archive."""
        if self.whole:
            return [()]
        portions: list[list[bytes]] = [[]]
        size = 0
        for item in self.items:
            if size + len(item.source) > BATCH_BYTES:
                portions.append([])
                size = 0
            portions[-1].append(item.source)
            size += len(item.source) + 8
        return [tuple(portion) for portion in portions]

    def as_json(self) -> dict[str, Any]:
        """For the row, `--dry-run --json`, and the page of a restore that was made."""
        return {
            "archive": self.archive,
            "server": self.server,
            "target": paths.token(self.target),
            "strip": self.strip,
            "conflict": self.conflict,
            "items": [
                {"source": paths.token(item.source), "final": paths.token(item.final)} for item in self.items[:1000]
            ],
            "items_count": len(self.items),
            "steps": [
                {"code": step.code, "sentence": step.sentence, "command": step.command, "undo": step.undo}
                for step in self.steps
            ],
        }


def target_bytes(text: str) -> bytes:
    """An absolute folder as a person wrote it. Raises InvalidInput."""
    raw = os.fsencode(text.strip())
    if not raw.startswith(b"/"):
        raise InvalidInput(field=_("directory"), problem=_("it must be an absolute path."))
    if any(byte < 32 for byte in raw) or b".." in raw.split(b"/"):
        raise InvalidInput(field=_("directory"), problem=_("control characters and “..” are not allowed."))
    return posixpath.normpath(raw).replace(b"//", b"/")


def plan_restore(
    *, archive: Archive, server: Server, selection: list[str], destination: str, target_path: str, conflict: str
) -> RestorePlan:
    """What a restore of these tokens does. Raises NothingSelected, NoSuchPath, InvalidInput, ArchiveGone."""
    if archive.missing_at or archive.trashed_at:
        raise ArchiveGone(name=archive.name)
    if conflict not in Restore.Conflict.values:
        raise InvalidInput(field=_("on conflict"), problem=_("choose one of the four rules."))
    chosen = paths.without_nested([paths.parse(text) for text in selection])
    if not chosen:
        raise NothingSelected()
    if len(chosen) > MOST_PATHS:
        raise InvalidInput(field=_("selection"), problem=_("choose folders instead of so many single files."))
    parent = b"" if chosen == [b""] else paths.common_parent(chosen)
    if destination == Restore.Destination.IN_PLACE:
        target = b"/" + parent
    elif destination == Restore.Destination.OTHER_PATH:
        target = target_bytes(target_path)
    else:
        raise InvalidInput(field=_("where"), problem=_("choose in place or another path."))
    strip = len(paths.split(parent))
    items = tuple(Item(path, _final(target, path, strip)) for path in chosen)
    plan = RestorePlan(archive.name, server.name, target, strip, conflict, items)
    return RestorePlan(archive.name, server.name, target, strip, conflict, items, _steps(plan, archive, server))


def _final(target: bytes, source: bytes, strip: int) -> bytes:
    rest = b"/".join(paths.split(source)[strip:])
    return target.rstrip(b"/") + (b"/" + rest if rest else b"") or b"/"


def extract_argv(plan: RestorePlan, location: str, portion: tuple[bytes, ...]) -> tuple[str | bytes, ...]:
    """`borg extract …` without the program, which the helper on the server finds itself."""
    chosen = portion or None
    return commands.extract("borg", location, plan.archive, chosen, strip_components=plan.strip)[1:]


def _steps(plan: RestorePlan, archive: Archive, server: Server) -> tuple[PlanStep, ...]:
    target = paths.shown(plan.target)
    location = f"ssh://phpborg{archive.repository.path}"
    first = plan.batches()[0]
    return (
        PlanStep(
            "view",
            _("Makes a view of the repository that holds no lock, so backups go on and a prune does not disturb."),
            undo=_("The view is removed."),
        ),
        PlanStep(
            "count",
            _("Counts what the archive holds of the selection: as much has to arrive."),
        ),
        PlanStep(
            "stage",
            _("Makes a private folder inside {target} on {server}, and {target} itself when it is missing."),
            touches=(target,),
            undo=_("The private folder is removed with what was not put in place."),
            facts={"target": target, "server": server.name},
        ),
        PlanStep(
            "extract",
            _("Extracts the selection into the private folder, with owners, modes and times as numbers."),
            argv=extract_argv(plan, location, first),
            touches=(target,),
        ),
        PlanStep("place", _conflict_sentence(plan.conflict), touches=(target,)),
        PlanStep(
            "verify", _("Compares what was extracted with what the archive holds, and removes the private folder.")
        ),
    )


def _conflict_sentence(conflict: str) -> str:
    sentences = {
        Restore.Conflict.KEEP: _("Moves everything to its place; what is there already stays as it is."),
        Restore.Conflict.REPLACE: _("Moves everything to its place; a file that is there already is replaced."),
        Restore.Conflict.NEWER: _(
            "Moves everything to its place; a file that is there is replaced only when it is older."
        ),
        Restore.Conflict.RENAME: _("Moves everything to its place; beside a file that is there, under a new name."),
    }
    return sentences[Restore.Conflict(conflict)]
