"""Where things are on this machine, as root and as another account."""

import os

CONFIG = "/etc/phpborg"
HOOKS = CONFIG + "/hooks"
POLICY = CONFIG + "/policy.json"
RUN = "/run/phpborg"
# What is written over an archive by databases that run out of it: on a disk, since nobody knows how much it will be.
INSTANT = "/var/lib/phpborg/instant"
# What restores of Docker have changed and how that is undone, one directory each: it must survive a restart.
DOCKER_RESTORE = "/var/lib/phpborg/docker-restore"
# Where an extraction sees its staging directory; a mount point, and only for that one process.
RESTORE = RUN + "/restore"


def state_directory() -> str:
    """Borg's caches and its memory of repositories (BORG_BASE_DIR)."""
    if os.geteuid() == 0:
        return "/var/lib/phpborg/borg"
    return os.path.join(os.path.expanduser("~"), ".local/share/phpborg/borg")


def version_note() -> str:
    """What borg said that its version is, and which file said so."""
    return os.path.join(state_directory(), "borg-version.json")


def restore_directory(token: str) -> str:
    """Borg's memory for one restore; it goes with the staging directory."""
    return os.path.join(state_directory(), "restore-" + token)


def load_record(token: str) -> str:
    """What one load has made in a database server or is about to: read when it was killed."""
    return os.path.join(state_directory(), "load-{}.json".format(token))


def direct_directory(installation: str) -> str:
    """The key and configuration for direct backups to one backup host."""
    base = CONFIG if os.geteuid() == 0 else os.path.join(os.path.expanduser("~"), ".config/phpborg")
    return os.path.join(base, "direct", installation)


def make_private(path: str) -> str:
    """The directory exists, is ours and nobody else's."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    return path


def this_program() -> str:
    """The file that was started: the zip, or the directory of the sources."""
    here = os.path.dirname(os.path.abspath(__file__))
    parent = os.path.dirname(here)
    return parent if os.path.isfile(parent) else here
