"""What `job create` backs up: options of the command line to the source of a job, and the login that goes with it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from backups.services import credentials
from backups.services.database_offers import AUTO, GIVEN
from backups.sources import paths as spelling
from backups.sources.files import FilesSource, preset
from backups.sources.offers import KINDS
from phpborg.commands import ExitCode
from phpborg.crypto import EncryptedText

# Options that mean something for some kinds only: none is ever ignored.
_OF_FILES = ("path", "preset", "one_file_system", "exclude_caches")
_OF_SYSTEM = ("root_filesystem_only",)
_OF_DATABASES = ("instance", "method", "database", "no_config_files", "login_user", "password_file")
_OF_DOCKER = (
    *("project", "container", "volume", "bind", "without_project", "without_volume", "without_bind"),
    *("save_images", "no_config_files", "still", "still_container"),
)
_ALLOWED = {
    "docker": set(_OF_DOCKER),
    FilesSource.kind: {*_OF_FILES, "exclude"},
    "system": {*_OF_SYSTEM, "exclude"},
    **{kind: set(_OF_DATABASES) for kind in KINDS},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of all kinds."""
    kinds = list(_ALLOWED)
    parser.add_argument("--kind", "--source", choices=kinds, default=FilesSource.kind, help="files unless it is given")
    files = parser.add_argument_group("files and folders, the whole system")
    files.add_argument("--path", action="append", default=[], help="may be given several times")
    files.add_argument("--preset", action="append", default=[], help="etc, home, root, var or system")
    files.add_argument("--exclude", action="append", default=[], help="a borg pattern; several times")
    files.add_argument("--one-file-system", action="store_true")
    files.add_argument("--exclude-caches", action="store_true")
    files.add_argument("--root-filesystem-only", action="store_true", help="system: leave out what is mounted below /")
    docker = parser.add_argument_group("Docker, as `server capabilities` shows it; without an option all of it")
    for name in ("project", "container", "volume", "bind"):
        docker.add_argument(
            f"--{name}", action="append", default=[], help="only this one; several times; “none” for none"
        )
    for name in ("project", "volume", "bind"):
        docker.add_argument(f"--without-{name}", action="append", default=[], help="all but this one; several times")
    docker.add_argument("--save-images", action="store_true", help="the images themselves, not only their digests")
    docker.add_argument("--still", choices=["pause", "stop"], default="", help="containers, while they are read")
    docker.add_argument(
        "--still-container",
        action="append",
        default=[],
        metavar="NAME=WAY",
        help="PROJECT/SERVICE or a container's name = none, pause, stop or dump; several times",
    )
    databases = parser.add_argument_group("a database server, as `server capabilities` shows it")
    databases.add_argument("--instance", default="", help="its id, for example 15/main or “port 3306”")
    databases.add_argument("--method", default="", help="without it the usual one of its kind")
    databases.add_argument("--database", action="append", default=[], help="only this one; several times")
    databases.add_argument("--no-config-files", action="store_true")
    databases.add_argument("--login-user", default="", help="a login for it; without one its own ways in are taken")
    databases.add_argument("--password-file", default="", metavar="FILE", help="its password, one line; - reads stdin")


def source_of(options: dict[str, Any]) -> dict[str, Any]:
    """The source of the job, to be checked by its kind. CommandError for an option that its kind does not have."""
    kind = options["kind"]
    known = {*_OF_FILES, *_OF_SYSTEM, *_OF_DATABASES, *_OF_DOCKER, "exclude"}
    for name in sorted(known - _ALLOWED[kind]):
        if options[name]:
            option = "--" + name.replace("_", "-")
            raise CommandError(
                _("{option} means nothing for a job of the kind “{kind}”.").format(option=option, kind=kind),
                returncode=ExitCode.USAGE,
            )
    if kind == "system":
        return {"excludes": options["exclude"], "all_filesystems": not options["root_filesystem_only"]}
    if kind == "docker":
        return _docker(options)
    return _database(options) if kind in KINDS else _files(options)


def login_of(options: dict[str, Any]) -> EncryptedText:
    """The given login, sealed; empty without one. Raises InvalidInput, and CommandError without a password's place."""
    user, place = options["login_user"], options["password_file"]
    if bool(user) != bool(place):
        raise CommandError(_("--login-user and --password-file belong together."), returncode=ExitCode.USAGE)
    if not user:
        return EncryptedText()
    try:
        text = sys.stdin.readline() if place == "-" else Path(place).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise CommandError(f"{place}: {error}", returncode=ExitCode.USAGE) from error
    return credentials.login(user, text.removesuffix("\n").removesuffix("\r")).sealed()


def _docker(options: dict[str, Any]) -> dict[str, Any]:
    def chosen(name: str) -> list[str] | None:
        names: list[str] = options[name]
        return [one for one in names if one != "none"] if names else None

    ways = dict(word.rpartition("=")[::2] for word in options["still_container"])
    return {
        "projects": chosen("project"),
        "containers": chosen("container"),
        "volumes": chosen("volume"),
        "binds": chosen("bind"),
        "exclude": {
            "projects": options["without_project"],
            "volumes": options["without_volume"],
            "binds": options["without_bind"],
        },
        "images": "saved" if options["save_images"] else "digests",
        "config_files": not options["no_config_files"],
        "quiesce": {"default": options["still"] or "none", "containers": ways},
    }


def _database(options: dict[str, Any]) -> dict[str, Any]:
    return {
        "instance": options["instance"],
        **({"method": options["method"]} if options["method"] else {}),
        "databases": options["database"],
        "config_files": not options["no_config_files"],
        "login": GIVEN if options["login_user"] else AUTO,
    }


def _files(options: dict[str, Any]) -> dict[str, Any]:
    paths = [spelling.to_json(path.encode("utf-8", "surrogateescape")) for path in options["path"]]
    excludes: list[str] = []
    for name in options["preset"]:
        chosen = preset(name)
        paths += [spelling.to_json(path) for path in chosen.paths]
        excludes += chosen.excludes
    return {
        "paths": paths,
        "excludes": [*excludes, *options["exclude"]],
        "one_file_system": options["one_file_system"],
        "exclude_caches": options["exclude_caches"],
    }
