"""The way to a repository as a task opens it: written down before it is made, crossed out when it is gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from phpborg.tasks.context import TaskContext
from servers.models import Server
from servers.transport import tunnel
from servers.transport.base import Host, Link


@contextmanager
def open_way(
    context: TaskContext, server: Server, host: Host, repository_path: str, *, mode: tunnel.Mode, token: str
) -> Iterator[Link]:
    """`tunnel.link` with its lease. After an error, and when a worker is killed, the lease stays for the clean-up.

    When the link saw itself that nothing is left, the server is not asked once more: each question
    costs a sign-in.
    """
    lease = context.hold("link", server=str(server.pk), token=token)
    with tunnel.link(host, repository_path, mode=mode, token=token) as link:
        yield link
    if link.gone:
        context.cross_out(lease)
