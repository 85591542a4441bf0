"""A server's identity: its host key is fetched, shown, approved, pinned; a change stops everything."""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from phpborg.errors import PhpBorgError
from servers.errors import HostKeyChanged
from servers.models import Server
from servers.services.errors import DuplicateServer, FingerprintDiffers, LocalOnly, NothingToApprove
from servers.transport import fabric_host, keys

log = logging.getLogger(__name__)
_KEY_FILES = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}


@dataclass(frozen=True)
class Offered:
    """A host key that waits for approval: its fingerprint, its kind, and how to see it on the server."""

    line: str
    fingerprint: str
    kind: str
    command: str


def describe_key(line: str) -> Offered:
    """A host key for people. Raises UnusableKey."""
    kind = line.split()[0]
    file = _KEY_FILES.get(kind, "ecdsa")
    command = f"ssh-keygen -l -f /etc/ssh/ssh_host_{file}_key.pub"
    return Offered(line, keys.fingerprint(line), kind, command)


def offered(server: Server) -> Offered | None:
    """The key that the server showed and that nobody has approved yet."""
    return describe_key(server.offered_host_key) if server.offered_host_key else None


def fetch_host_key(*, server: Server) -> bool:
    """Ask the server for its key; True when it waits for approval now.

    The approved key again is no news and ends an alarm. Raises HostUnreachable, DuplicateServer, LocalOnly.
    """
    if server.is_local:
        raise LocalOnly(server=server.name)
    found = fabric_host.fetch_host_key(server.address, server.port)
    return note_host_key(server, found.line)


def note_host_key(server: Server, line: str) -> bool:
    """Remember what the server shows. Raises DuplicateServer when it is the identity of another server."""
    if line in server.host_key.splitlines():
        server.offered_host_key = ""
        if server.last_error_code == HostKeyChanged.code:
            server.last_error_code = ""
        server.save(update_fields=["offered_host_key", "last_error_code"])
        return False
    ensure_new_identity(line, besides=server)
    server.offered_host_key = line
    fields = ["offered_host_key"]
    if server.host_key:
        server.last_error_code = HostKeyChanged.code
        fields.append("last_error_code")
    server.save(update_fields=fields)
    return True


def ensure_new_identity(line: str, *, besides: Server | None = None) -> None:
    """Raise DuplicateServer when another server has, or has shown, this host key."""
    others = Server.objects.exclude(pk=besides.pk) if besides else Server.objects.all()
    known = others.filter(host_key_fingerprint=keys.fingerprint(line)) | others.filter(offered_host_key=line)
    twin = known.first()
    if twin:
        raise DuplicateServer(server=twin.name, address=twin.endpoint)


def approve_host_key(*, server: Server, fingerprint: str, by: Any = None) -> None:
    """Pin the offered key; `fingerprint` is what a person confirmed.

    A new identity of a server that was set up asks for set-up again. Raises NothingToApprove,
    FingerprintDiffers.
    """
    with transaction.atomic():
        row = Server.objects.select_for_update().get(pk=server.pk)
        if not row.offered_host_key:
            raise NothingToApprove(server=row.name)
        known = describe_key(row.offered_host_key)
        if not hmac.compare_digest(_plain(fingerprint), _plain(known.fingerprint)):
            raise FingerprintDiffers(offered=known.fingerprint, given=fingerprint[:100])
        is_change = bool(row.host_key)
        row.host_key = known.line
        row.host_key_fingerprint = known.fingerprint
        row.host_key_approved_at = timezone.now()
        row.offered_host_key = ""
        row.last_error_code = ""
        if is_change:
            row.state = Server.State.NEW
        row.save()
    server.refresh_from_db()
    log.info("host key of %s (%s) approved by %s", server.name, known.fingerprint, getattr(by, "username", "") or "-")


def _plain(fingerprint: str) -> bytes:
    """As typed or pasted: spaces around it and a missing “SHA256:” do not matter."""
    text = fingerprint.strip().rstrip("=")
    return (text if text.startswith("SHA256:") else f"SHA256:{text}").encode("utf-8", "replace")


def look_again(server: Server) -> None:
    """After a refusal: fetch what the server shows now, so that both fingerprints can be compared."""
    try:
        fetch_host_key(server=server)
    except PhpBorgError as error:
        log.info("host key of %s could not be fetched: %s", server.name, error)
