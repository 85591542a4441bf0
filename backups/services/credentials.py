"""The login that was given for a database: kept encrypted with the job, handed over by descriptor alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from backups.models import BackupJob
from backups.sources.databases import with_user
from phpborg.crypto import EncryptedField, EncryptedText, remember_secret
from phpborg.errors import InvalidInput

LONGEST = 500


@dataclass(frozen=True)
class Login:
    """User and password as a person gave them."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.user!r})"

    def sealed(self) -> EncryptedText:
        """As a row keeps it."""
        return EncryptedField.seal(json.dumps({"user": self.user, "password": self.password}))


def login(user: str, password: str) -> Login:
    """Checked. Raises InvalidInput that names the field."""
    for field, value in ((_("User"), user), (_("Password"), password)):
        if len(value) > LONGEST or any(letter in value for letter in "\0\r\n"):
            raise InvalidInput(field=field, problem=_("it is one line of at most 500 characters"))
    if not user.strip():
        raise InvalidInput(field=_("User"), problem=_("a login that you give has a name"))
    return Login(user.strip(), password)


def unseal(stored: EncryptedText) -> Login | None:
    """What a row keeps; None when it keeps nothing. Raises SecretUnreadable."""
    clear = EncryptedText(stored).reveal()
    if not clear:
        return None
    known = json.loads(clear)
    remember_secret(str(known["password"]))
    return Login(str(known["user"]), str(known["password"]))


def given(job: BackupJob) -> Login | None:
    """The job's own login, when it says that one was given."""
    return unseal(job.credentials) if job.source.get("login") == "given" else None


def named(job: BackupJob, row: Mapping[str, Any]) -> dict[str, Any]:
    """A request's row with the user of a login that was given: no plan knows it."""
    known = given(job)
    return dict(row) if known is None else with_user(row, known.user)


def for_tools(job: BackupJob) -> dict[str, str]:
    """The secrets of a request whose tools reach a database: `database` is the password."""
    known = given(job)
    return {} if known is None else {"database": known.password}


def for_probe(job: BackupJob, instance: Any) -> dict[str, str]:
    """The secrets of the verb `capabilities`: the job's login by the name of the probe, for this instance."""
    known = given(job)
    return {} if known is None else {job.source_kind: json.dumps(probe_row(known, instance))}


def probe_row(known: Login, instance: Any) -> dict[str, Any]:
    """For this server alone (others of the machine must not hear the password), and without its own ways in."""
    return {"user": known.user, "password": known.password, "alone": True, **_door(instance)}


def _door(instance: Any) -> dict[str, Any]:
    """Where it listens, as the probes compare it: its socket, which nobody else can have, else its port."""
    if socket := getattr(instance, "socket", None):
        return {"socket": socket}
    if (directory := getattr(instance, "socket_directory", None)) and instance.port:
        return {"socket": f"{directory}/.s.PGSQL.{instance.port}"}
    return {"port": instance.port} if instance.port else {}
