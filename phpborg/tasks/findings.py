"""The words for what a task found on its way. A kind that is not listed is shown as it is."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

KINDS = {
    "changed": _("Changed while it was read"),
    "vanished": _("Vanished before it was read"),
    "unreadable": _("Could not be read"),
    "missing_source": _("Source missing"),
    "mount_skipped": _("Other filesystem left out"),
    "never_matched": _("Not in the archive"),
    "hook_after": _("Hook after the backup"),
    "overlap": _("Skipped: the run before was still going"),
    "late": _("Too late"),
    "left": _("Still there"),
    "failed": _("Failed"),
    "kept": _("Kept"),
    "replaced": _("Replaced"),
    "renamed": _("Renamed"),
    "placed": _("Put in place"),
    "skipped": _("Skipped"),
    "damage": _("Damage"),
    "gone": _("Gone from Borg"),
    "space_held": _("Space still held"),
    "unproven": _("Not proven"),
    "freeze_unknown": _("Not known whether the snapshot lasted"),
    "databases_unknown": _("Databases not known"),
    "directory_guessed": _("Directory guessed"),
    "report_cut": _("Not all that the server said was kept"),
    "login_unproven": _("Login not seen to work"),
    "not_transactional": _("Tables without transactions"),
    "live_database": _("Database copied while it runs"),
    "docker_volume_unread": _("Volume not read"),
    "docker_volume_empty": _("Volume in use and empty"),
    "docker_project_directory": _("Project's directory not read"),
    "docker_left_out": _("Not read"),
    "docker_swarm": _("Task of a Swarm: left running"),
    "docker_not_running": _("Not running: not dumped"),
    "docker_dump_failed": _("Database not dumped"),
    "docker_not_still": _("Not kept still"),
    "docker_shared": _("Volume written to from outside of the job"),
    "docker_unclear": _("Compose file not understood in all"),
    "docker_changed": _("Changed during the backup"),
    "docker_other_image": _("Another image than the one that was backed up"),
    "docker_engine": _("Docker's engine warned"),
    "docker_limits": _("Limits that this engine does not have"),
    "docker_killed": _("Killed, because it did not end"),
    "docker_others": _("Stopped for it, and not well since"),
    "docker": _("Docker"),
    "load": _("While it was loaded"),
    "not_started": _("Not started"),
    "not_whole": _("Not everything was looked at"),
    "unavailable": _("Not available"),
    "other": _("Note"),
}


def words(kind: str) -> str:
    """The words for a kind of finding in the active language."""
    return str(KINDS.get(kind, kind.replace("_", " ")))
