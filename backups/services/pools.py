"""Storage pools: made, analysed, removed. Every path of ours is checked against its pool here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from backups.models import StoragePool
from backups.storage_errors import PoolUnavailable
from phpborg.errors import InvalidInput
from phpborg.mounts import filesystem_of
from phpborg.tasks.models import Task
from phpborg.tasks.queue import enqueue
from phpborg.tasks.states import Trigger

TRASH = ".trash"
VIEWS = ".views"  # lock-free views of repositories (hard links, so on the same filesystem)
# What a pool's `problem` may say beside the system's own words; pages translate it.
NOT_THERE = gettext_noop("the directory does not exist: is its disk mounted?")
EMPTY = gettext_noop("none of its repositories is there: is its disk mounted?")
# A pool below one of these would mix repositories with the system's own files.
SYSTEM_DIRECTORIES = ("/", "/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/run", "/sbin", "/sys", "/usr")


def clean_path(text: str, *, field: str) -> Path:
    """An absolute, normalised directory path without anything that a listing could hide.

    Raises InvalidInput.
    """
    if not text.startswith("/"):
        raise InvalidInput(field=field, problem=_("it must be an absolute path."))
    if any(ord(character) < 32 or ord(character) == 127 for character in text) or '"' in text:
        raise InvalidInput(field=field, problem=_("control characters and double quotes are not allowed."))
    try:
        length = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise InvalidInput(field=field, problem=_("it must be text.")) from error
    if length > 900:
        raise InvalidInput(field=field, problem=_("it is too long."))
    if "::" in text:
        raise InvalidInput(field=field, problem=_("“::” is not allowed: Borg separates repository and archive by it."))
    if ".." in Path(text).parts:
        raise InvalidInput(field=field, problem=_("“..” is not allowed."))
    return Path("/" + os.path.normpath(text).lstrip("/"))


def create_pool(*, name: str, path: str, is_default: bool = False, threshold_percent: int = 85) -> StoragePool:
    """A pool at a directory, which is made (0700) when it is missing. Raises InvalidInput."""
    where = clean_path(path, field=_("path"))
    name = name.strip()
    _check_name(name)
    _check_threshold(threshold_percent)
    _check_place(where)
    made = not where.exists()
    try:
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_writable(where)
    except OSError as error:
        raise InvalidInput(
            str(error), field=_("path"), problem=_("the directory cannot be made or written.")
        ) from error
    pool = StoragePool(name=name, path=str(where), threshold_percent=threshold_percent)
    pool.is_default = is_default or not StoragePool.objects.filter(is_default=True).exists()
    try:
        with transaction.atomic():
            if pool.is_default:
                StoragePool.objects.filter(is_default=True).update(is_default=False)
            _measure(pool)
            pool.save(force_insert=True)
    except BaseException:
        if made and not any(where.iterdir()):
            where.rmdir()
        raise
    return pool


def _check_place(where: Path) -> None:
    """Refuse system directories, links on the way, and pools inside each other."""
    text = str(where)
    if text in SYSTEM_DIRECTORIES or any(
        text.startswith(f"{top}/") for top in ("/proc", "/sys", "/dev", "/boot", "/etc")
    ):
        raise InvalidInput(field=_("path"), problem=_("it is a directory of the system."))
    if where.exists() and not where.is_dir():
        raise InvalidInput(field=_("path"), problem=_("it is not a directory."))
    if Path(os.path.realpath(where)) != where:
        raise InvalidInput(field=_("path"), problem=_("it contains a symbolic link; write the real path."))
    for other in StoragePool.objects.all():
        if where == Path(other.path):
            raise InvalidInput(field=_("path"), problem=_("the pool “{name}” is here already.").format(name=other.name))
        if where.is_relative_to(other.path) or Path(other.path).is_relative_to(where):
            raise InvalidInput(field=_("path"), problem=_("it overlaps the pool “{name}”.").format(name=other.name))


def _check_writable(where: Path) -> None:
    probe = where / f".phpborg-probe-{os.getpid()}"
    probe.write_bytes(b"")
    probe.unlink()


def set_default(*, pool: StoragePool) -> None:
    """New repositories are offered here first."""
    with transaction.atomic():
        StoragePool.objects.filter(is_default=True).exclude(pk=pool.pk).update(is_default=False)
        StoragePool.objects.filter(pk=pool.pk).update(is_default=True)
    pool.is_default = True


def update_pool(*, pool: StoragePool, name: str, threshold_percent: int) -> None:
    """Rename a pool or move its warning threshold. Raises InvalidInput; then nothing is changed."""
    _check_name(name.strip(), pool)
    _check_threshold(threshold_percent)
    pool.name, pool.threshold_percent = name.strip(), threshold_percent
    pool.save(update_fields=["name", "threshold_percent"])


def _check_name(name: str, pool: StoragePool | None = None) -> None:
    if not name or len(name) > 80 or any(ord(character) < 32 for character in name):
        raise InvalidInput(field=_("name"), problem=_("write one line of 1 to 80 characters."))
    others = StoragePool.objects.filter(name=name)
    if pool is not None:
        others = others.exclude(pk=pool.pk)
    if others.exists():
        raise InvalidInput(field=_("name"), problem=_("another pool has this name."))


def _check_threshold(percent: int) -> None:
    if not 1 <= percent <= 100:
        raise InvalidInput(field=_("threshold"), problem=_("it must be between 1 and 100 percent."))


def remove_pool(*, pool: StoragePool) -> None:
    """Forget an empty pool; its directory stays. Another one becomes the default when this was it.

    Raises InvalidInput while repositories are in it.
    """
    if pool.repositories.exists():  # type: ignore[attr-defined]
        raise InvalidInput(
            field=pool.name, problem=_("it still holds repositories, perhaps in its trash. Remove or purge them first.")
        )
    with transaction.atomic():
        pool.delete()
        following = StoragePool.objects.order_by("created_at").first()
        if following and not StoragePool.objects.filter(is_default=True).exists():
            set_default(pool=following)


def request_analysis(*, pool: StoragePool, by: object = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Queue the analysis of a pool."""
    return enqueue(
        "pool_analysis", params={"pool": str(pool.pk)}, subject=pool.name, by=by, trigger=trigger, unless_active=True
    )


def analyse(*, pool: StoragePool) -> None:
    """Measure filesystem, capacity and usage; a pool that cannot be read says why and keeps no old figure."""
    try:
        ensure_there(pool)
        _check_writable(Path(pool.path))
        _measure(pool)
        pool.problem = ""
    except PoolUnavailable as error:
        _unknown(pool, error.reason)
    except OSError as error:
        _unknown(pool, error.strerror or str(error))
    pool.analysed_at = timezone.now()
    pool.save(update_fields=["filesystem", "capacity_bytes", "used_bytes", "available_bytes", "analysed_at", "problem"])


def _unknown(pool: StoragePool, reason: str) -> None:
    pool.problem = reason[:500]
    pool.capacity_bytes = pool.used_bytes = pool.available_bytes = None


def ensure_there(pool: StoragePool) -> None:
    """Raise PoolUnavailable when the pool's disk is not mounted.

    An empty mount point looks like an empty pool: where repositories are expected and not one of them
    is there, nothing must be written, because it would land on another disk.
    """
    where = Path(pool.path)
    if not where.is_dir() or Path(os.path.realpath(where)) != where:
        raise PoolUnavailable(pool=pool.name, path=pool.path, reason=NOT_THERE)
    expected = pool.repositories.filter(trashed_at__isnull=True).values_list("path", flat=True)  # type: ignore[attr-defined]
    paths = list(expected[:50])
    if paths and not any(os.path.lexists(path) for path in paths):
        raise PoolUnavailable(pool=pool.name, path=pool.path, reason=EMPTY)


def _measure(pool: StoragePool) -> None:
    stat = os.statvfs(pool.path)
    pool.capacity_bytes = stat.f_blocks * stat.f_frsize
    pool.available_bytes = stat.f_bavail * stat.f_frsize
    pool.used_bytes = (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    pool.filesystem = filesystem_of(Path(pool.path))
    pool.analysed_at = timezone.now()


def inside(pool: StoragePool, path: Path) -> bool:
    """Whether `path` lies really below the pool: after links, by whole components, and in no place of ours."""
    root = Path(pool.path)
    parent = Path(os.path.realpath(path.parent))
    if not parent.is_relative_to(root) or path.name in ("", ".", "..") or path.is_symlink():
        return False
    return not {TRASH, VIEWS} & {*parent.relative_to(root).parts, path.name}


def pool_of(path: Path) -> StoragePool | None:
    """The pool with the longest path that holds `path` (whole components), or None."""
    holding = [pool for pool in StoragePool.objects.all() if path.is_relative_to(pool.path)]
    return max(holding, key=lambda pool: len(pool.path), default=None)


def free_bytes(pool: StoragePool) -> int | None:
    """What can still be written now, or None when the pool is not there."""
    try:
        return shutil.disk_usage(pool.path).free
    except OSError:
        return None
