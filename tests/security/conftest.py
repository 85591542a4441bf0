"""The transport's real servers, for attacks on them."""

from tests.transport.conftest import host, lab, place, repository, sshd, token

__all__ = ["host", "lab", "place", "repository", "sshd", "token"]
