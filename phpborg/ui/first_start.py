"""The first start of an installation: an administrator, this machine, a pool, a repository, a job for /etc.

Every part is made only when nothing of its kind exists, so that a second start changes nothing and
what an administrator has removed does not come back.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from backups.models import BackupJob, Repository, StoragePool
from backups.services import jobs, pools, repositories
from backups.services.jobs import JobDefinition
from phpborg.accounts.models import User
from phpborg.errors import PhpBorgError, describe
from phpborg.tasks import runner
from phpborg.tasks.states import Trigger
from phpborg.ui.models import Installation
from servers.models import Server
from servers.services import enrol, setup

Say = Callable[[str], None]
EVERY_NIGHT = "0 2 * * *"


@dataclass(frozen=True)
class Choices:
    """What the command line may choose."""

    admin: str = "admin"
    email: str = ""
    pool_path: str = ""


def make(choices: Choices, say: Say) -> None:
    """Make what is missing. The administrator's password is said once and stored nowhere."""
    installation = Installation.load()
    fresh = installation.first_run_finished_at is None and not Server.objects.exists()
    _administrator(choices, say)
    if not fresh:
        return
    server = _localhost(say)
    repository = _repository(choices, say)
    if server and repository and not BackupJob.objects.exists():
        _job(server, repository, say)


def _administrator(choices: Choices, say: Say) -> None:
    if User.objects.filter(role=User.Role.ADMIN).exists():
        return
    password = secrets.token_urlsafe(15)
    user = User(username=choices.admin, email=choices.email, role=User.Role.ADMIN, language=settings.LANGUAGE_CODE)
    user.set_password(password)
    user.save()
    say(_("Administrator: {user}").format(user=user.username))
    say(_("Password (shown only now): {password}").format(password=password))


def _localhost(say: Say) -> Server | None:
    """This machine as a server, set up in this process: no worker runs yet."""
    server = enrol.add_localhost()
    if server.is_ready:
        return server
    task = setup.enqueue_setup(server=server, trigger=Trigger.SYSTEM)
    runner.run(str(task.pk))
    task.refresh_from_db()
    server.refresh_from_db()
    if not server.is_ready:
        described = describe(task.error_code, task.error_facts)
        say(
            _("This machine could not be set up: {problem} {advice}").format(
                problem=described.title, advice=described.advice
            )
        )
        return None
    say(_("Server: {name}").format(name=server.name))
    return server


def _repository(choices: Choices, say: Say) -> Repository | None:
    """A pool and an encrypted repository; its passphrase is stored encrypted and can be exported with its key."""
    try:
        pool = StoragePool.objects.first() or pools.create_pool(
            name=_("Main"), path=choices.pool_path or default_pool_path(), is_default=True
        )
        existing = Repository.objects.live().first()
        if existing:
            return existing
        made = repositories.create_repository(
            pool=pool, name=_("Main"), passphrase=repositories.generate_passphrase(), compression="zstd,3"
        )
    except PhpBorgError as error:
        described = describe(error.code, error.facts)
        say(_("No repository was made: {problem} {advice}").format(problem=described.title, advice=described.advice))
        return None
    say(_("Repository: {path} (encrypted; export its key from its page and keep it elsewhere)").format(path=made.path))
    return made


def default_pool_path() -> str:
    """PHPBORG_POOL, else below var/."""
    return os.environ.get("PHPBORG_POOL") or str(Path(os.path.realpath(settings.VAR_DIR)) / "pools/main")


def _job(server: Server, repository: Repository, say: Say) -> None:
    job = jobs.create_job(
        definition=JobDefinition(
            name="etc",
            server=server,
            repository=repository,
            source={"paths": ["/etc"], "excludes": [], "one_file_system": False},
            cron=EVERY_NIGHT,
            zone=Installation.load().zone_name,
        )
    )
    say(_("Backup job: {name} (/etc, every night at 02:00)").format(name=job.name))
