"""What script/server prepares before the first process; what is already there is left alone."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from django.core.checks import CheckMessage

HOME = Path(__file__).resolve().parent.parent


def say(line: str) -> None:
    print(line, flush=True)


def fail(line: str) -> NoReturn:
    """End with a sentence for a person, without a traceback."""
    sys.exit(line)


def make_secret_key(var: Path) -> None:
    """The key of sessions and signatures, unless the environment names one."""
    file = var / "secret-key"
    if not file.exists() and not {"SECRET_KEY", "SECRET_KEY_FILE"} & set(os.environ):
        with suppress(FileExistsError):
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as opened:
                opened.write(secrets.token_urlsafe(50) + "\n")
            say(f"Created {file} (sessions and signatures)")


def start_django() -> None:
    import django
    from django.core.exceptions import ImproperlyConfigured

    try:
        django.setup()
    except ImproperlyConfigured as error:
        fail(f"The settings cannot be used: {error}")


def make_encryption_key() -> None:
    from django.conf import settings

    from phpborg.crypto import create_key_file

    if not settings.ENCRYPTION_KEY_FILE.exists():
        if database_exists():
            fail(
                f"{settings.ENCRYPTION_KEY_FILE} is missing, but the database exists: its secrets need that key.\n"
                "Put the key file back (see “Recovering the key” in docs/administrator.md). Nothing was changed."
            )
        create_key_file(settings.ENCRYPTION_KEY_FILE)
        say(f"Created {settings.ENCRYPTION_KEY_FILE}: keep a copy elsewhere, no stored secret can be read without it")


def database_exists() -> bool:
    """Has an earlier start already made tables?"""
    from django.db import connection

    return bool(connection.introspection.table_names())


def compile_messages() -> None:
    """.mo files that are missing or older than their .po."""
    from phpborg import process

    for source in sorted(HOME.glob("phpborg/locale/*/LC_MESSAGES/*.po")):
        target = source.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
            continue
        fresh = target.with_suffix(f".{os.getpid()}")
        result = process.stream(["msgfmt", "--check-format", "-o", str(fresh), str(source)], timeout=120)
        if not result.ok:
            fail(f"{source} cannot be compiled:\n{result.stderr_tail}")
        fresh.chmod(0o644)
        fresh.replace(target)
        say(f"Compiled {target.relative_to(HOME)}")


def collect_static(var: Path) -> None:
    """Static files into var/static, only when one of them has changed."""
    from django.contrib.staticfiles.finders import get_finders
    from django.core.management import call_command

    digest = hashlib.sha256()
    for finder in get_finders():
        for name, storage in finder.list([]):
            status = os.stat(storage.path(name))
            digest.update(f"{storage.path(name)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    stamp = var / "static.stamp"
    if stamp.exists() and stamp.read_text() == digest.hexdigest() and (var / "static").is_dir():
        return
    # In comments, these two name a module that does not exist; their minified twins are what pages load.
    unused = ["django_htmx/ext/hx-sse-2.js", "django_htmx/ext/hx-ws-2.js"]
    call_command("collectstatic", interactive=False, verbosity=0, clear=True, ignore_patterns=unused)
    stamp.write_text(digest.hexdigest())
    say("Collected the static files")


def migrate() -> None:
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        say(f"Migrating the database: {len(plan)} steps")
        call_command("migrate", interactive=False, verbosity=0)


def tell_checks() -> None:
    """What the system checks have to say; an error ends the start."""
    from django.core import checks

    # Redis is asked later, when it runs.
    found = checks.run_checks(databases=["default"])
    found += [message for message in _service_checks() if message.id != "phpborg.E025"]
    worst = 0
    for message in found:
        if message.level >= checks.WARNING and not message.is_silenced():
            say(f"{'Error' if message.level >= checks.ERROR else 'Warning'}: {message.msg}")
            if message.hint:
                say(f"    {message.hint}")
            worst = max(worst, message.level)
    if worst >= checks.ERROR:
        fail("Nothing was started. Mend the error above and run script/server again.")


def _service_checks() -> list[CheckMessage]:
    from django.core import checks

    return checks.run_checks(tags=["services"], include_deployment_checks=True)


def set_up(var: Path) -> None:
    """Everything before the first process; what is already there is left alone."""
    from django.core.management import CommandError, call_command
    from django.db import DatabaseError, connections

    try:
        make_encryption_key()
        compile_messages()
        collect_static(var)
        migrate()
        tell_checks()
        # Redis starts later; what it queues waits for it.
        logging.getLogger("phpborg.tasks.queue").setLevel(logging.ERROR)
        call_command("first_start")
    except DatabaseError as error:
        fail(f"The database cannot be used: {error}\nCheck DATABASE_URL (see docs/administrator.md).")
    except CommandError as error:
        fail(f"The setup stopped: {error}")
    connections.close_all()


if __name__ == "__main__":  # script/server --install
    sys.path.insert(0, str(HOME))
    compile_messages()
