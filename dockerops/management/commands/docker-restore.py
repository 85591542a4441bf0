"""The name of the command; what it does is in dockerops/management/docker_restore.py."""

from dockerops.management.docker_restore import Command

__all__ = ["Command"]
