"""Adminer beside the database of a session: what the helper is asked for, and what the page needs to reach it.

It runs in a container of its own, without a network, and sees the database's socket and nothing else. Which server,
account and password it uses is written in files beside its router (adminer_router.php); a key in a header, known to
the router and to our own page alone, keeps other accounts of the machine away from its port.
"""

from __future__ import annotations

import json
import secrets as random
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from recovery.engines.base import RUN, Product

if TYPE_CHECKING:
    from recovery.models import Session

PORT = 8080
PORTS = (18080, 18279)
KEY, PASSWORD = "adminer-key", "adminer-password"
SECRETS = (KEY, PASSWORD)
KEY_HEADER = "X-Phpborg-Key"
MEMORY_BYTES = 512 << 20
_PROGRAMS = ("/usr/bin/php", "/usr/local/bin/php")
_PLACE = "/phpborg/etc"
_ROUTER = Path(__file__).with_name("adminer_router.php")
_DRIVERS = {
    Product.POSTGRESQL: ("pgsql", RUN),
    Product.MYSQL: ("server", f"localhost:{RUN}/mysql.sock"),
    Product.MARIADB: ("server", f"localhost:{RUN}/mysql.sock"),
}
# What Adminer needs not, and a stranger in it would like to have. Its own limits are for one page at a time.
_OFF = "exec,passthru,shell_exec,system,proc_open,popen,pcntl_exec,pcntl_fork,mail,dl,putenv,symlink,link"
_SETTINGS = {
    "allow_url_fopen": "0",
    "disable_functions": _OFF,
    "display_errors": "0",
    "expose_php": "0",
    "log_errors": "1",
    "max_execution_time": "0",
    "memory_limit": "192M",
    "mysqli.allow_local_infile": "0",
    "opcache.enable": "0",
    "post_max_size": "64M",
    "session.save_path": "/tmp",  # noqa: S108 - in the container, where it is a directory in memory
    "upload_max_filesize": "64M",
    "upload_tmp_dir": "/tmp",  # noqa: S108
}


@dataclass(frozen=True)
class Beside:
    """The request's part `adminer`, and the secrets that it names."""

    args: dict[str, Any]
    secrets: dict[str, str] = field(repr=False)


def beside(product: str, login: str, password: str) -> Beside | None:
    """None for a product that Adminer is not for, or when it is turned off."""
    if not settings.RECOVERY_ADMINER_IMAGE or product not in _DRIVERS:
        return None
    driver, server = _DRIVERS[Product(product)]
    told = {"driver": driver, "server": server, "user": login, "program": settings.RECOVERY_ADMINER_PATH}
    limits = [word for name, value in sorted(_SETTINGS.items()) for word in ("-d", f"{name}={value}")]
    return Beside(
        args={
            "image": settings.RECOVERY_ADMINER_IMAGE,
            "programs": list(_PROGRAMS),
            "argv": [*limits, "-S", f"127.0.0.1:{PORT}", "-t", _PLACE, f"{_PLACE}/router.php"],
            "environment": {"PHP_CLI_SERVER_WORKERS": "4"},
            "memory": MEMORY_BYTES,
            "files": [
                {"path": "router.php", "text": _ROUTER.read_text(), "mode": 0o400},
                {"path": "settings.json", "text": json.dumps(told), "mode": 0o400},
                {"path": "key", "secret": KEY, "mode": 0o400},
                {"path": "password", "secret": PASSWORD, "mode": 0o400},
            ],
            "port": PORT,
            "ports": list(PORTS),
        },
        secrets={KEY: random.token_urlsafe(32), PASSWORD: password},
    )


def key_of(session: Session) -> str:
    """The key that its router wants to see; empty when it has none (any more)."""
    found: dict[str, str] = json.loads(session.secrets.reveal() or "{}")
    return found.get(KEY, "")
