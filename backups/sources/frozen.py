"""The plan of a snapshot: which volume, how large, what is seen of it where, or the reason why not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from django.utils.translation import gettext as _

from backups import source_errors as e
from backups.sources import databases as shared
from backups.sources import paths as spelling
from backups.sources.base import Freeze, SourcePlan, View
from backups.sources.contents import files_words
from backups.sources.databases import DatabaseSource, Row, Seen
from phpborg.tasks.registry import Finding
from phpborg.ui.format import byte_size
from servers.capabilities.advice import Advice, advise
from servers.capabilities.cards import paths_of, size_of, unanswered
from servers.capabilities.storage import normal
from servers.capabilities.volumes import holds


@dataclass(frozen=True)
class Reading:
    """What is read of the frozen state beside the data directories, and what the archive's record says."""

    hold: Mapping[str, Any] | None
    included: Sequence[Row]
    facts: Mapping[str, Any]
    # Paths to read in place of the directories that are frozen: only these of them belong to the server.
    paths: Sequence[str] | None = None
    excludes: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()


def snapshot(source: DatabaseSource[Any], seen: Seen[Any], reading: Reading) -> SourcePlan:
    """All that the instance's directories hold, frozen at one moment. Raises SnapshotImpossible."""
    places = paths_of(seen.instance)
    advice = advise(seen.report, places, size_of(seen.instance))
    if not advice.possible or advice.volume is None or any(normal(place) == "/" for place in places):
        raise source.error(e.SnapshotImpossible, seen.instance, _why_not(seen, advice))
    tops = outermost(places)
    paths = outermost(reading.paths if reading.paths is not None else places)
    files = config_paths(seen, paths)
    included = [*reading.included, *map(shared.config_row, files)]
    arguments: Row = dict(advice.volume.arguments())
    if advice.size_bytes is not None:
        arguments["size_bytes"] = advice.size_bytes
    if reading.hold is not None:
        arguments["hold"] = dict(reading.hold)
    freeze = Freeze(
        kind=str(advice.volume.kind),
        arguments=arguments,
        views=tuple(View(advice.inside[place], place) for place in tops),
        sentence=_makes(advice),
        undo=_("The snapshot is removed, whatever happens: also after a cancellation or a crash."),
    )
    return SourcePlan(
        paths=tuple(as_path(path) for path in (*paths, *files)),
        excludes=reading.excludes,
        sentences=(advice.text, *reading.sentences, _where(tops, advice), *files_words(len(files))),
        findings=guesses(seen.instance),
        freeze=freeze,
        database=source.record(seen, included, (), **reading.facts),
    )


def config_paths(seen: Seen[Any], elsewhere: Sequence[str]) -> list[str]:
    """Configuration that exists and does not lie in these places, files and folders alike."""
    if not seen.config.config_files:
        return []
    known = [path for path in seen.instance.config_files if path.startswith("/") and ".." not in path.split("/")]
    return [path for path in outermost(known) if not any(holds(place, path) for place in elsewhere)]


def outermost(places: Iterable[str]) -> list[str]:
    """Without those that lie in another one of them; in their order."""
    known = dict.fromkeys(places)
    return [one for one in known if not any(str(above) in known for above in PurePosixPath(one).parents)]


def as_path(path: str) -> bytes:
    """As borg is told it. Raises InvalidInput for what cannot be a path."""
    return spelling.clean(spelling.from_wire(path))


def guesses(instance: Any) -> tuple[Finding, ...]:
    """A finding for each data directory that nobody confirmed."""
    data = instance.data if isinstance(instance.data, tuple) else (instance.data,)
    unsure = [one for one in data if one is not None and one.confidence == "low"]
    return tuple(Finding("directory_guessed", str(instance.id), one.path or "") for one in unsure)


def _why_not(seen: Seen[Any], advice: Advice) -> str:
    """The advice, and which probe failed when that is why no volume was recognised."""
    if advice.possible:
        return _("A directory of it is the whole system.")
    volumes = [name for name in ("mounts", "lvm", "btrfs", "zfs") if name in seen.report.unanswered]
    return " ".join([advice.text, *(unanswered(seen.report) if volumes else ())])


def _makes(advice: Advice) -> str:
    volume = advice.volume.name if advice.volume else ""
    if advice.size_bytes is None:
        return _("Makes a snapshot of {volume}.").format(volume=volume)
    return _("Makes a snapshot of {volume} with room for {size} of changes.").format(
        volume=volume, size=byte_size(advice.size_bytes)
    )


def _where(tops: Sequence[str], advice: Advice) -> str:
    volume = advice.volume.name if advice.volume else ""
    return _("All of it lies on {volume}: {places}. Borg reads the frozen state under the same names.").format(
        volume=volume, places=shared.listed(tops)
    )
