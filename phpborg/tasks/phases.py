"""The phases of all kinds of task, with their words."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

PHASES = {
    "starting": _("Starting"),
    "connecting": _("Connecting to the server"),
    "hooks_before": _("Running the hook before"),
    "waiting": _("Waiting for its turn"),
    "protecting": _("Archiving what will be replaced"),
    "preparing": _("Preparing"),
    "freezing": _("Freezing the data"),
    "thawing": _("Removing what was frozen"),
    "reading_cache": _("Reading the cache"),
    "transferring": _("Transferring"),
    "committing": _("Committing"),
    "finalising": _("Finalising"),
    "proving": _("Looking for the archive in the repository"),
    "hooks_after": _("Running the hook after"),
    "syncing": _("Comparing with the repository"),
    "checking": _("Checking"),
    "compacting": _("Compacting"),
    "deleting": _("Deleting"),
    "fetching": _("Fetching the image"),
    "mounting": _("Opening the archive"),
    "planning": _("Planning"),
    "extracting": _("Extracting"),
    "loading": _("Loading into the database server"),
    "serving": _("The database serves"),
    "placing": _("Putting the files in place"),
    "verifying": _("Verifying"),
    "cleaning": _("Cleaning up"),
    "setup": _("Setting up"),
    "measuring": _("Measuring"),
}


def words(name: str) -> str:
    """The words for a phase in the active language; an unknown one is shown as it is."""
    return str(PHASES.get(name, name))
