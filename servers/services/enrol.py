"""Servers are added, changed, and given our key."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from phpborg.crypto import EncryptedField
from phpborg.errors import InvalidInput
from servers.errors import AuthenticationFailed, TimedOut
from servers.models import Server
from servers.services import identity
from servers.services.errors import DuplicateServer, LocalOnly, NotApproved, PasswordRefused
from servers.services.labels import set_labels
from servers.services.reach import forget_key_file, target_of
from servers.transport import fabric_host, keys

PASSWORD_SECONDS = 20
LOCAL_NAME = "localhost"


def add_server(
    *, name: str, address: str, port: int = 22, user: str = "root", labels: Iterable[str] = (), notes: str = ""
) -> Server:
    """A new server with a key pair of its own and its host key waiting for approval.

    Nothing is saved unless the server answers. Raises InvalidInput (fact `name`: the field),
    DuplicateServer, HostUnreachable.
    """
    server = Server(name=name.strip(), address=plain_address(address), port=port, user=user.strip(), notes=notes)
    _check(server)
    _ensure_new_address(server)
    host_key = fabric_host.fetch_host_key(server.address, server.port)
    identity.ensure_new_identity(host_key.line)
    server.offered_host_key = host_key.line
    pair = keys.make_key_pair(comment="phpborg")
    server.public_key = pair.public
    server.private_key = EncryptedField.seal(pair.private)
    with transaction.atomic():
        _save(server)
        set_labels(server=server, names=labels)
    return server


def add_localhost(*, name: str = LOCAL_NAME) -> Server:
    """This machine as a server; the one that is there already when there is one."""
    server = Server.objects.filter(kind=Server.Kind.LOCAL).first()
    if server is None:
        server = Server(name=_free_name(name), kind=Server.Kind.LOCAL)
        try:
            with transaction.atomic():
                server.save(force_insert=True)
        except IntegrityError:  # somebody was faster
            server = Server.objects.get(kind=Server.Kind.LOCAL)
    return server


def _free_name(name: str) -> str:
    taken = set(Server.objects.filter(name__startswith=name).values_list("name", flat=True))
    return next(
        found for number in range(1, 10_000) if (found := name if number == 1 else f"{name}-{number}") not in taken
    )


def update_server(
    *,
    server: Server,
    name: str,
    labels: Iterable[str] = (),
    notes: str = "",
    address: str | None = None,
    port: int | None = None,
    user: str | None = None,
) -> None:
    """Change a server. Another address must show the approved identity, or wait for approval again.

    Raises InvalidInput, DuplicateServer, HostUnreachable; then nothing is changed.
    """
    server = Server.objects.get(pk=server.pk)
    server.name, server.notes = name.strip(), notes
    moved = renamed = False
    if not server.is_local:
        new = (plain_address(address) if address is not None else server.address, port or server.port)
        moved, renamed = new != (server.address, server.port), user is not None and user.strip() != server.user
        server.address, server.port = new
        server.user = user.strip() if user is not None else server.user
    _check(server)
    line = ""
    if moved:
        _ensure_new_address(server)
        line = fabric_host.fetch_host_key(server.address, server.port).line
        identity.ensure_new_identity(line, besides=server)
    if renamed or (moved and line not in server.host_key.splitlines()):
        server.state = Server.State.NEW
    with transaction.atomic():
        _save(server)
        set_labels(server=server, names=labels)
        if moved:
            identity.note_host_key(server, line)


def install_key_with_password(*, server: Server, password: str) -> None:
    """Put our public key into the account's authorized_keys, signed in with its password, once.

    Runs where the password was typed, never in a task. Raises LocalOnly, NotApproved,
    PasswordRefused, HostKeyChanged, HostUnreachable, TimedOut after 20 s.
    """
    if server.is_local:
        raise LocalOnly(server=server.name)
    if not server.host_key:
        raise NotApproved(server=server.name)
    target = target_of(server)

    def install() -> None:
        with fabric_host.FabricHost.connect(target, password=password) as host:
            host.install_public_key(server.public_key)

    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="install-key")
    try:
        pool.submit(install).result(timeout=PASSWORD_SECONDS)
    except AuthenticationFailed as error:
        raise PasswordRefused(error.detail, user=server.user, server=server.name) from None
    except FutureTimeout:
        raise TimedOut(f"{PASSWORD_SECONDS} s", address=server.address) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def renew_key(*, server: Server) -> None:
    """A new key pair; the old one no longer opens anything of ours. The new half must be installed again."""
    pair = keys.make_key_pair(comment="phpborg")
    server.public_key, server.private_key = pair.public, EncryptedField.seal(pair.private)
    server.state = Server.State.NEW
    server.save(update_fields=["public_key", "private_key", "state"])
    forget_key_file(server)


def plain_address(address: str) -> str:
    """One spelling for one address: no brackets, no capitals, no dot at the end."""
    plain = address.strip().removeprefix("[").removesuffix("]")
    return plain.rstrip(".").lower() if plain.strip(".") else plain


def _check(server: Server) -> None:
    try:
        server.full_clean(validate_constraints=False, exclude=["private_key", "facts"])
    except ValidationError as error:
        name, messages = next(iter(error.message_dict.items()))
        label = str(getattr(Server._meta.get_field(name), "verbose_name", name)) if name != NON_FIELD_ERRORS else name
        raise InvalidInput(field=label, problem=" ".join(messages), name=name) from error
    if not server.is_local and not server.address:
        raise InvalidInput(
            field=str(_("address")), problem=str(_("Write a host name or an IP address.")), name="address"
        )


def _ensure_new_address(server: Server) -> None:
    twin = Server.objects.filter(address__iexact=server.address, port=server.port).exclude(pk=server.pk).first()
    if twin:
        raise DuplicateServer(server=twin.name, address=twin.endpoint)


def _save(server: Server) -> None:
    try:
        with transaction.atomic():
            server.save()
    except IntegrityError as error:
        _ensure_new_address(server)
        raise InvalidInput(field=str(_("name")), problem=str(_("another server has this name")), name="name") from error
