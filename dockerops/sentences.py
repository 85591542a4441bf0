"""The words of plans: titles, sentences and undos of steps, notes. Facts are named placeholders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext, gettext_noop, pgettext_lazy

from dockerops.conflict_words import CONFLICTS, REMEDIES
from phpborg.ui.format import byte_size
from servers.capabilities import sayings

STATES = {
    "running": pgettext_lazy("a container", "running"),
    "paused": pgettext_lazy("a container", "paused"),
    "exited": pgettext_lazy("a container", "stopped"),
    "created": pgettext_lazy("a container", "never started"),
    "restarting": pgettext_lazy("a container", "restarting"),
    "dead": pgettext_lazy("a container", "dead"),
}
TITLES = {
    "need_image": gettext_noop("Look for the image"),
    "load_image": gettext_noop("Load images from the archive"),
    "pull_image": gettext_noop("Pull the image"),
    "create_network": gettext_noop("Create the network"),
    "create_volume": gettext_noop("Create the volume"),
    "hold_volume": gettext_noop("Hold the volume mounted"),
    "release_volume": gettext_noop("Let the volume go"),
    "archive_former": gettext_noop("Make a safety archive"),
    "extract": gettext_noop("Extract"),
    "stop_container": gettext_noop("Stop the container"),
    "rename_container": gettext_noop("Set the container aside"),
    "disconnect": gettext_noop("Take the container off the network"),
    "exchange": gettext_noop("Exchange"),
    "rewrite_files": gettext_noop("Change the Compose files"),
    "create_container": gettext_noop("Create the container"),
    "start": gettext_noop("Start the container"),
    "healthy": gettext_noop("Check the health"),
    "compose_up": gettext_noop("Start with Compose"),
    "load_dump": gettext_noop("Load the database from its dump"),
    "make_private": gettext_noop("Make a private directory"),
    "borrow_image": gettext_noop("Borrow the image from the archive"),
}
SENTENCES = {
    ("need_image", ""): gettext_noop("Checks that the image {image} is there."),
    ("load_image", ""): gettext_noop("Loads {image} from the archive, unless it is there."),
    ("pull_image", ""): gettext_noop("Pulls {image} by its digest, unless it is there."),
    ("pull_image", "tag"): gettext_noop("Pulls {image} by its tag, unless it is there: its digest is not known."),
    ("borrow_image", ""): gettext_noop(
        "Loads {image} from the archive, unless it is there; names of other images stay as they are."
    ),
    ("make_private", ""): gettext_noop("Makes {path}, for root alone: all files of the drill lie in it."),
    ("pull_image", "named"): gettext_noop("Gives the image, which is there, its name {image}."),
    ("create_network", ""): gettext_noop("Creates the network {name} with its driver, addresses, options and labels."),
    ("create_network", "free"): gettext_noop(
        "Creates the network {name} with its driver, options and labels; the engine chooses free addresses."
    ),
    ("create_network", "missing"): gettext_noop(
        "Creates the external network {name}, which is missing, with what the archive knows of it."
    ),
    ("create_volume", ""): gettext_noop("Creates the volume {name} with its driver, options and labels."),
    ("create_volume", "anonymous"): gettext_noop("Creates the anonymous volume {name} of {container}."),
    ("create_volume", "missing"): gettext_noop(
        "Creates the external volume {name}, which is missing, with what the archive knows of it."
    ),
    ("hold_volume", ""): gettext_noop(
        "Has the engine mount the volume {name} in a container of ours that does nothing, and sees whether it can be "
        "written."
    ),
    ("release_volume", ""): gettext_noop("Removes the container that held the volume {name}."),
    ("archive_former", ""): gettext_noop("Makes the archive {name} of exactly what will be replaced."),
    ("extract", ""): gettext_noop("Extracts into a private directory in {directory}; nothing is replaced yet."),
    ("stop_container", "replaced"): gettext_noop("Stops {name}, which will be replaced."),
    ("stop_container", "uses"): gettext_noop("Stops {name}, which uses what will be replaced; it is started again."),
    ("rename_container", ""): gettext_noop("Renames {name} to {to}. It is kept until the protection ends."),
    ("disconnect", ""): gettext_noop("Takes {name} off the network {network}, which frees its addresses and aliases."),
    ("exchange", "volume"): gettext_noop(
        "Puts the content of the volume {name} in place; the former one is kept aside."
    ),
    ("exchange", "held"): gettext_noop(
        "Puts the content of the volume {name} in place; what lies there is kept aside inside the volume itself."
    ),
    ("exchange", "new"): gettext_noop("Fills the new volume {name}."),
    ("exchange", "files"): gettext_noop(
        "Puts the chosen files of the volume {name} in place; its other files stay, also in folders that were chosen."
    ),
    ("exchange", "path"): gettext_noop("Puts {path} in place; what is there is kept aside."),
    ("rewrite_files", ""): gettext_noop(
        "Changes the extracted Compose files, so that they name everything as it will be called; changes: {count}."
    ),
    ("exchange", "empty"): gettext_noop(
        "Begins the volume {name} anew, empty: its database comes back from its dump. What is there is kept aside."
    ),
    ("exchange", "new_empty"): gettext_noop(
        "Leaves the new volume {name} empty, with its owner and rights: its database comes back from its dump."
    ),
    ("load_dump", ""): gettext_noop(
        "Waits until {name} has initialised an empty database and answers, loads its dump into it and counts what is "
        "there. Whoever depends on it is started afterwards."
    ),
    ("create_container", ""): gettext_noop("Creates {name} from {image} with all of its options."),
    ("start", ""): gettext_noop("Starts {name}, as it was when the archive was made."),
    ("start", "paused"): gettext_noop("Starts {name} and pauses it, as it was when the archive was made."),
    ("start", "again"): gettext_noop("Starts {name} again."),
    ("start", "again_paused"): gettext_noop("Starts {name} again and pauses it, as it was."),
    ("healthy", ""): gettext_noop("Waits until {name} runs and is healthy, at most {seconds} seconds."),
    ("healthy", "again"): gettext_noop(
        "Waits until {name} runs and is healthy, at most {seconds} seconds; a note tells if it is not."
    ),
    ("compose_up", ""): gettext_noop("Has Compose create and start the project {name} from its restored files."),
}
UNDOS = {
    "make_private": gettext_noop("It is removed with everything in it."),
    "borrow_image": gettext_noop("It is removed, if it was loaded for this."),
    "pull_image": gettext_noop("The name means again what it meant; the image stays."),
    "load_image": gettext_noop("Names mean again what they meant; the image stays."),
    "create_network": gettext_noop("The network {name} is removed."),
    "create_volume": gettext_noop("The volume {name} is removed."),
    "extract": gettext_noop("The private directory is removed."),
    "hold_volume": gettext_noop("The container that holds {name} is removed."),
    "release_volume": gettext_noop("{name} is held again while it is put back."),
    "stop_container": gettext_noop("{name} is brought back into its former state."),
    "rename_container": gettext_noop("It gets its name {name} back."),
    "disconnect": gettext_noop("{name} is connected to {network} again, with the same addresses and aliases."),
    "exchange": gettext_noop("What was there is put back."),
    "create_container": gettext_noop("The new container {name} is removed; its named volumes stay."),
    "start": gettext_noop("{name} is stopped."),
    "compose_up": gettext_noop(
        "The containers and networks that Compose made for {name} are removed; its volumes and all else stay."
    ),
    "load_dump": gettext_noop("It goes with the container {name} and the content of its volumes."),
}
NOTES = {
    "no_secret": gettext_noop("Environments and options of drivers are read from the archive when they are needed."),
    "environment_kept": gettext_noop(
        "Environments and files are not rewritten: what they say of names, ports and paths is as it was."
    ),
    "others_kept": gettext_noop(
        "Environments, and files other than those of Compose, are not rewritten: what they say of names, ports and"
        " paths is as it was."
    ),
    "by_hand": gettext_noop(
        "{path}, line {line}: {key} stays as it is written, and may have to be changed by hand before Compose is used."
    ),
    "compose_unread": gettext_noop(
        "{path} could not be understood and stays as it is: look at its names, ports and paths before Compose is used."
    ),
    "engine_config": gettext_noop("The engine reads its restored configuration when it is started the next time."),
    "dumps": gettext_noop("The archive also holds {count} database dumps below {path}; this plan does not load them."),
    "torn_loaded": gettext_noop(
        "The database of {name} comes back from its dump: its data ({places}) were copied while it was running, so "
        "only the dump is consistent. They are not put back, nor are configuration files among them (postgresql.conf, "
        "pg_hba.conf, what ALTER SYSTEM set): those are not in a dump."
    ),
    "torn_chosen": gettext_noop(
        "The database of {name} gets its data ({places}) as they lay, as was chosen. They were copied while it was "
        "running: it may not start from them. Its dump is {path} in the archive."
    ),
    "torn_not_started": gettext_noop(
        "The database of {name} gets its data ({places}) as they lay, copied while it was running: its dump {path} is "
        "loaded only where containers are started."
    ),
    "torn_not_running": gettext_noop(
        "The database of {name} gets its data ({places}) as they lay, copied while it was running: its dump {path} is "
        "not loaded, since the container did not run when the archive was made."
    ),
    "torn_not_made": gettext_noop(
        "The data of {name} ({places}) were copied while its database was running: it may not start from them. Its "
        "dump {path} is loaded only where the container is restored, too."
    ),
    "torn_own_place": gettext_noop(
        "The dump {path} of {name} is not loaded: its database does not keep its data where its image initialises "
        "them. What lay in its volumes is put back, copied while it was running."
    ),
    "torn_kept": gettext_noop(
        "The dump {path} of {name} is not loaded: {places} would have to begin empty, and are not wholly restored."
    ),
    "torn_inside": gettext_noop(
        "The database of {name} gets its data ({places}) as they lay, copied while it was running: what they replace "
        "is kept in the same directory, and no database is initialised where something lies. Its dump is {path} in the "
        "archive."
    ),
    "torn_not_dumped": gettext_noop(
        "There is no dump of the database of {name}: it failed when the archive was made. What is put back of "
        "its data was copied while it was running: it may not start from it."
    ),
    "torn_other_engine": gettext_noop(
        "The database of {name} gets its data ({places}) as they lay, copied while it was running. phpBorg does not "
        "load such dumps into containers: take the file {path} out, and load it by mongorestore --archive --drop."
    ),
    "not_started": gettext_noop("{name} is created and not started: it was “{state}” when the archive was made."),
    "kept_hours": gettext_noop("What is replaced is kept aside for {hours} hours, and can be put back until then."),
    "dropped": gettext_noop("What is replaced is removed when everything is back; until then a failure puts it back."),
    "archived": gettext_noop(
        "Before, the files that are replaced are put into the archive {name}. It is deleted with what is kept "
        "aside, unless somebody has pinned, proven or renamed it by then, or uses it."
    ),
    "not_archived": gettext_noop("No files are replaced: no safety archive is made."),
    "files_only": gettext_noop("Only files are written, below {path}; the engine is not touched."),
    # Of an archive's contents.
    "no_manifest": gettext_noop(
        "The archive has no description of its containers: what it holds was read from its record and its files."
    ),
    "listing_only": gettext_noop("Only the files of this archive are known: what it holds was read from their paths."),
    "listing_cut": gettext_noop(
        "The archive has more files than were looked at: more volumes or projects may be in it."
    ),
    "other_root": gettext_noop("Its volumes come from an engine that kept them in {path}."),
}


class _Facts(dict[str, Any]):
    """A fact that is not there stays visible."""

    def __missing__(self, key: str) -> str:
        return "…"


def _filled(text: str, facts: Mapping[str, Any]) -> str:
    return gettext(text).format_map(_Facts({name: _shown(name, value) for name, value in facts.items()}))


def _shown(name: str, value: Any) -> Any:
    """Sizes in words; of names of servers, bytes that are no text and control characters become visible."""
    if name.endswith("_bytes"):
        return byte_size(float(value))
    if not isinstance(value, str):
        return value
    if name == "state":
        return str(STATES.get(value, value))
    if name == "reason":  # why something could not be read, as the helper or the plan of a backup wrote it
        words = gettext(value) if value else value
        value = words if words != value else sayings.shown(value)
    text = value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def shown(text: str) -> str:
    """A name of a server as it is shown."""
    return str(_shown("", text))


def title(op: str) -> str:
    """The name of a kind of step."""
    return gettext(TITLES[op])


def sentence(op: str, why: str, facts: Mapping[str, Any]) -> str:
    """What a step does."""
    text = SENTENCES.get((op, why)) or SENTENCES.get((op, "")) or TITLES[op]
    return _filled(text, facts)


def undo(op: str, facts: Mapping[str, Any]) -> str:
    """How a step is undone; empty when it needs no undo."""
    return _filled(UNDOS[op], facts) if op in UNDOS else ""


def note(code: str, facts: Mapping[str, Any]) -> str:
    """A note of a plan or of an analysis."""
    return _filled(NOTES[code], facts) if code in NOTES else code


def conflict(kind: str, facts: Mapping[str, Any]) -> str:
    """What is in the way."""
    return _filled(CONFLICTS[kind], facts) if kind in CONFLICTS else kind


def remedy(code: str, facts: Mapping[str, Any]) -> str:
    """What to do about it."""
    return _filled(REMEDIES[code], facts) if code in REMEDIES else ""
