"""Words of the pages of Docker restores. Names that a server chose are shown here, and nowhere without this."""

from __future__ import annotations

import os
import re
from typing import Any

from django import template
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from dockerops import sentences, typed
from dockerops.choice import Choice
from dockerops.compose_diff import difference
from dockerops.options import Options
from dockerops.plan import Step
from recovery.paths import shown as shown_bytes

register = template.Library()
ORIGINS = {
    "manifest": _("from the description in the archive"),
    "record": _("from the record of the backup"),
    "selection": _("from what the job was told to take"),
    "listing": _("from the archive's list of files"),
}
SEVERITIES = {
    "block": (_("Forbids it"), "bad", "cross"),
    "stop": (_("Needs your agreement"), "warn", "warning"),
    "warn": (_("Attention"), "warn", "warning"),
    "info": (_("Note"), "info", "info"),
}
WHOLE_KINDS = {
    "volumes": _("All volumes"),
    "projects": _("All Compose projects"),
    "configs": _("All configuration files of the engine"),
}
PROOF = {
    "containers": _("Containers as the archive describes them"),
    "states": _("Containers in their state"),
    "volumes": _("Volumes made"),
    "networks": _("Networks made"),
    "places": _("Places filled"),
    "entries": _("Files and folders that arrived"),
}
_UNDO = re.compile(r"step (\d+)(?: \((\w+)\)|( waits)): (.*)", re.DOTALL)
NAMED = 6  # more than that are not told one by one


@register.filter
def shown(name: object) -> str:
    r"""A name for people: odd bytes become �, control characters and turns of direction are spelt out."""
    return shown_bytes(_bytes(str(name))) if name is not None else ""


def _bytes(text: str) -> bytes:
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:  # surrogates that stand for no byte
        return text.encode("utf-8", "replace")


@register.filter
def all_shown(names: Any) -> str:
    """Several names in one line."""
    return ", ".join(shown(name) for name in names or ())


@register.filter
def form_value(name: str) -> str:
    """A name as the value of a form's box; `typed.restored` gives it back whatever bytes it has."""
    return str(typed.stored(name))


@register.filter
def origin(word: str) -> str:
    """How a thing became known."""
    return str(ORIGINS.get(word, word))


@register.filter
def container_state(word: str) -> str:
    """The state of a container."""
    return str(sentences.STATES.get(word, word or ""))


@register.filter
def undo_problem(text: str) -> str:
    """What kept a step from being undone: the helper's number and kind of the step in the reader's words."""
    found = _UNDO.fullmatch(text)
    if found is None:
        return shown(text)
    number, op, waits, words = found.groups()
    if waits:
        return gettext("Step {number} waits for it: {words}").format(number=number, words=shown(words))
    title = sentences.title(op) if op in sentences.TITLES else op
    return gettext("Step {number}, “{title}”: {words}").format(number=number, title=title, words=shown(words))


@register.filter
def severity(word: str) -> dict[str, Any]:
    """Word, tone and icon of a conflict's weight."""
    label, tone, icon = SEVERITIES.get(word, SEVERITIES["info"])
    return {"label": str(label), "tone": tone, "icon": icon}


@register.filter
def choice_words(choice: Choice | dict[str, Any]) -> str:
    """What is restored, in a few words."""
    what = choice if isinstance(choice, Choice) else Choice.from_json(choice)
    if what.files:
        volume, paths = next(iter(what.files.items()))
        text = ngettext("{count} path of the volume {name}", "{count} paths of the volume {name}", len(paths))
        return text.format(count=len(paths), name=shown(volume))
    named = [
        name
        for kind in ("projects", "volumes", "containers", "networks", "binds", "configs")
        for name in getattr(what, kind)
    ]
    if what.mode == "all":
        return str(_("Everything"))
    if not named:
        return str(WHOLE_KINDS.get(what.mode, _("Everything")))
    return all_shown(named[:NAMED]) + (", …" if len(named) > NAMED else "")


@register.filter
def changes_of(step: Step) -> str:
    """What a step changes in Compose files, as a difference; empty for other steps."""
    return difference(step)


@register.filter
def placement_words(options: Options) -> str:
    """Where it goes."""
    if options.placement == "other_path":
        return gettext("below {path}").format(path=shown(options.path))
    if options.placement == "other_project":
        return gettext("as the project {name}").format(name=shown(options.project_name))
    return gettext("in place")


@register.filter
def protection_words(options: Options) -> str:
    """What becomes of what is replaced."""
    if options.protect == "none":
        return gettext("none")
    hours = options.window_hours
    text = ngettext("kept aside for {count} hour", "kept aside for {count} hours", hours).format(count=hours)
    return text if options.protect == "aside" else gettext("{text}, files also in an archive").format(text=text)


@register.filter
def proof_rows(proof: dict[str, Any] | None) -> list[tuple[str, Any]]:
    """What was compared at the end of a restore: label and count, only what there was."""
    return [(str(label), proof[name]) for name, label in PROOF.items() if proof and proof.get(name)]
