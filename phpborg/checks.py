"""System checks: what is missing on this machine, and how to mend it.

`manage.py check` runs the quick ones; `manage.py check --deploy --tag services` also starts borg and
sudo and asks Redis. `manage.py check --database default` tries the key on a stored secret.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import redis
from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, connections
from django.utils.translation import gettext as _

from phpborg import process
from phpborg.crypto import EncryptedField, decrypt
from phpborg.errors import SecretUnreadable
from phpborg.mounts import filesystem_of

Messages = list[CheckMessage]
Check = Callable[..., Messages]

OLDEST_BORG, FIRST_UNKNOWN_BORG = (1, 2), (2, 0)
LOOPBACK = ("localhost", "127.", "[::1]", "::1")
NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "afs", "fuse.sshfs", "fuse.glusterfs"}


@register("phpborg")
def check_key_file(app_configs: Any, **_kwargs: Any) -> Messages:
    """The encryption key file is there, ours alone, and holds keys."""
    file = settings.ENCRYPTION_KEY_FILE
    try:
        status = file.stat()
        lines = [line.strip() for line in file.read_bytes().splitlines() if line.strip()]
        for line in lines:
            Fernet(line)
    except FileNotFoundError:
        return [
            Error(
                _("The encryption key file {file} does not exist.").format(file=file),
                hint=_(
                    "On a new installation, script/server makes it. On an old one, put your copy of it back, or "
                    "name its place with PHPBORG_KEY_FILE: stored secrets cannot be read without it."
                ),
                id="phpborg.E001",
            )
        ]
    except (OSError, ValueError) as error:
        return [_unusable_key(file, str(error))]
    if not lines:
        return [_unusable_key(file, _("the file is empty"))]
    if stat.S_IMODE(status.st_mode) & 0o077:
        return [
            Error(
                _("The encryption key file {file} can be read by others (mode {mode}).").format(
                    file=file, mode=f"{stat.S_IMODE(status.st_mode):04o}"
                ),
                hint=_("Run: chmod 600 {file}").format(file=file),
                id="phpborg.E002",
            )
        ]
    return []


def _unusable_key(file: Path, reason: str) -> CheckMessage:
    return Error(
        _("The encryption key file {file} cannot be used: {reason}").format(file=file, reason=reason),
        hint=_(
            "Put your copy of the file back. It holds one key a line, and must be readable by the account of phpBorg."
        ),
        id="phpborg.E003",
    )


@register(Tags.database)
def check_key_opens_secrets(app_configs: Any, databases: Iterable[str] | None = None, **_kwargs: Any) -> Messages:
    """The key decrypts what the database holds; one secret of each column is tried."""
    if not databases or check_key_file(None):
        return []
    for model in apps.get_models():
        for field in (field for field in model._meta.local_fields if isinstance(field, EncryptedField)):
            try:
                rows = model._base_manager.exclude(**{field.name: ""}).order_by("-pk")
                token = rows.values_list(field.name, flat=True).first()
                if token:
                    decrypt(str(token))
            except DatabaseError:
                continue  # not migrated yet
            except SecretUnreadable:
                return [
                    Error(
                        _("The encryption key file does not decrypt the secrets in the database ({column}).").format(
                            column=f"{model._meta.label}.{field.name}"
                        ),
                        hint=_(
                            "It is not the key that wrote them. Put the right key file back at {file} (see "
                            "“Recovering the key” in docs/administrator.md), or enter the secrets again."
                        ).format(file=settings.ENCRYPTION_KEY_FILE),
                        id="phpborg.E004",
                    )
                ]
    return []


@register("phpborg")
def check_var(app_configs: Any, **_kwargs: Any) -> Messages:
    """var/ is ours, and only ours."""
    var = settings.VAR_DIR
    if not var.is_dir() or not os.access(var, os.W_OK | os.X_OK):
        return [
            Error(
                _("The directory {directory} does not exist or cannot be written.").format(directory=var),
                hint=_("Make it for the account of phpBorg (mode 0700), or name another one with PHPBORG_VAR."),
                id="phpborg.E010",
            )
        ]
    if stat.S_IMODE(var.stat().st_mode) & 0o077:
        return [
            Warning(
                _("The directory {directory} is open to other accounts.").format(directory=var),
                hint=_("It holds keys and the database. Run: chmod 700 {directory}").format(directory=var),
                id="phpborg.W011",
            )
        ]
    return []


@register("phpborg")
def check_borg_present(app_configs: Any, **_kwargs: Any) -> Messages:
    """Borg can be found."""
    if shutil.which(settings.BORG_BINARY):
        return []
    return [
        Error(
            _("Borg was not found at {path}.").format(path=settings.BORG_BINARY),
            hint=_("Install it (apt-get install borgbackup), or name its place with PHPBORG_BORG."),
            id="phpborg.E020",
        )
    ]


@register("services", deploy=True)
def check_borg_version(app_configs: Any, **_kwargs: Any) -> Messages:
    """Borg starts and is a version that we know."""
    if check_borg_present(None):
        return []
    try:
        result = process.stream([settings.BORG_BINARY, "--version"], timeout=30)
        words, problem = result.stdout.decode("utf-8", "replace"), result.stderr_tail
    except OSError as error:
        words, problem = "", str(error)
    found = re.search(r"borg (\d+)\.(\d+)", words)
    if not found:
        return [
            Error(
                _("Borg does not tell its version: {answer}").format(answer=(words or problem).strip()[:300]),
                hint=_("Run {path} --version by hand and mend what it says.").format(path=settings.BORG_BINARY),
                id="phpborg.E021",
            )
        ]
    if not OLDEST_BORG <= (int(found[1]), int(found[2])) < FIRST_UNKNOWN_BORG:
        return [
            Error(
                _("Borg {version} is not supported.").format(version=words.split()[-1]),
                hint=_("Install Borg 1.2 or 1.4."),
                id="phpborg.E022",
            )
        ]
    return []


@register("services", deploy=True)
def check_redis(app_configs: Any, **_kwargs: Any) -> Messages:
    """Redis answers."""
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5)
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        return [
            Error(
                _("Redis does not answer: {reason}").format(reason=error),
                hint=_("script/server starts one of its own. If yours runs elsewhere, correct REDIS_URL."),
                id="phpborg.E025",
            )
        ]
    finally:
        client.close()
    return []


@register("phpborg")
def check_fuse(app_configs: Any, **_kwargs: Any) -> Messages:
    """Archives can be mounted for browsing."""
    found: Messages = []
    if not shutil.which("fusermount3") and not shutil.which("fusermount"):
        found.append(
            Warning(
                _("fusermount3 was not found: archives cannot be browsed."),
                hint=_("Install it: apt-get install fuse3"),
                id="phpborg.W030",
            )
        )
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        found.append(
            Warning(
                _("/dev/fuse is missing or closed to this account: archives cannot be browsed."),
                hint=_(
                    "In a container, give it the device and the right to mount (see docs/units/compose.yaml). "
                    "Elsewhere, run: modprobe fuse"
                ),
                id="phpborg.W031",
            )
        )
    return found


@register("phpborg")
def check_helper(app_configs: Any, **_kwargs: Any) -> Messages:
    """Without root, the helper that reads this host's files is installed, and nobody but root can change it."""
    helper = settings.REMOTE_HELPER
    if os.geteuid() == 0:
        return []
    try:
        trusted = all(_root_owned(path) for path in (helper, helper.parent))
    except OSError:
        return [
            Warning(
                _("{helper} is not installed: files of this host that belong to root cannot be backed up.").format(
                    helper=helper
                ),
                hint=_("Install it and its sudo rule as docs/administrator.md says (“Without root”)."),
                id="phpborg.W040",
            )
        ]
    if trusted:
        return []
    return [
        Error(
            _("{helper} runs as root but can be changed by others.").format(helper=helper),
            hint=_("Run as root: chown -R root:root {directory} && chmod -R go-w {directory}").format(
                directory=helper.parent
            ),
            id="phpborg.E041",
        )
    ]


def _root_owned(path: Path) -> bool:
    status = path.stat()
    return status.st_uid == 0 and not stat.S_IMODE(status.st_mode) & 0o022


@register("services", deploy=True)
def check_sudo(app_configs: Any, **_kwargs: Any) -> Messages:
    """Without root, sudo lets us run the helper without a question."""
    if os.geteuid() == 0 or not settings.REMOTE_HELPER.exists():
        return []
    try:
        result = process.stream(["sudo", "-n", "-l", str(settings.REMOTE_HELPER), ""], timeout=20)
        problem = "" if result.ok else result.stderr_tail.strip()[:300] or _("no rule allows it")
    except OSError as error:
        problem = str(error)
    if not problem:
        return []
    return [
        Warning(
            _("sudo does not run {helper} without a password: {reason}").format(
                helper=settings.REMOTE_HELPER, reason=problem
            ),
            hint=_("Install the file of sudoers/ for the backup host as docs/administrator.md says (“Without root”)."),
            id="phpborg.W042",
        )
    ]


@register("phpborg")
def check_mount_namespace(app_configs: Any, **_kwargs: Any) -> Messages:
    """Mounts that we make can be seen by the other processes of this host."""
    try:
        ours, first = os.readlink("/proc/self/ns/mnt"), os.readlink("/proc/1/ns/mnt")
    except OSError:
        return []  # not ours to read: without root there is nothing to compare
    if ours == first:
        return []
    return [
        Warning(
            _("This process has mounts of its own: an archive that one process mounts is hidden from the others."),
            hint=_(
                "In the systemd unit, remove PrivateTmp, PrivateMounts, PrivateDevices, ProtectSystem, ProtectHome "
                "and MountFlags, or run all of phpBorg in one unit, as docs/units/phpborg.service does."
            ),
            id="phpborg.W050",
        )
    ]


def _is_loopback(name: str) -> bool:
    return name.startswith(LOOPBACK)


@register("phpborg")
def check_reachable(app_configs: Any, **_kwargs: Any) -> Messages:
    """Listening for the whole network, the product knows its names, shows no internals and is encrypted."""
    bind = os.environ.get("PHPBORG_BIND", "127.0.0.1")
    if _is_loopback(bind):
        return []
    found: Messages = []
    if all(_is_loopback(name) for name in settings.ALLOWED_HOSTS):
        found.append(
            Warning(
                _("phpBorg listens on {address} but answers only to the names of this host.").format(address=bind),
                hint=_("Set PHPBORG_HOSTS to the names and addresses that browsers use, separated by commas."),
                id="phpborg.W060",
            )
        )
    if settings.DEBUG:
        found.append(
            Warning(
                _("PHPBORG_DEBUG is on while phpBorg listens on {address}: errors show internals.").format(
                    address=bind
                ),
                hint=_("Set PHPBORG_DEBUG=false."),
                id="phpborg.W061",
            )
        )
    if not settings.HTTPS:
        found.append(
            Warning(
                _("phpBorg listens on {address} without HTTPS: passwords cross the network unencrypted.").format(
                    address=bind
                ),
                hint=_("Put a proxy with TLS before it and set PHPBORG_PUBLIC_URL (see docs/administrator.md)."),
                id="phpborg.W062",
            )
        )
    return found


@register("phpborg")
def check_sqlite_disk(app_configs: Any, **_kwargs: Any) -> Messages:
    """SQLite's write-ahead log needs a disk of this machine."""
    database = connections["default"].settings_dict
    if not str(database["ENGINE"]).endswith("sqlite3") or str(database["NAME"]).startswith(("file:", ":")):
        return []
    kind = filesystem_of(Path(database["NAME"]))
    if kind not in NETWORK_FILE_SYSTEMS:
        return []
    return [
        Warning(
            _("The SQLite database lies on a network file system ({kind}): it can be damaged there.").format(kind=kind),
            hint=_("Move PHPBORG_VAR to a disk of this machine, or use PostgreSQL (DATABASE_URL)."),
            id="phpborg.W070",
        )
    ]
