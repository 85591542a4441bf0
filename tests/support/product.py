"""The whole product as processes: Redis, Daphne, workers, clock — on a private var/ and a database of its own.

Used by the browser, chaos and canary lanes and by script/bench. Everything is started and ended by
pid. `manage(…)` runs a management command against it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery staple"
WORKERS = {
    "backup-1": ("backup",),
    "backup-2": ("backup",),
    "restore": ("restore", "backup"),
    "quick": ("quick",),
    "system": ("system", "mail", "quick"),
    "sessions": ("sessions",),
    "proofs": ("proofs",),
}
_KEEPER = ("--worker-class", "phpborg.tasks.keeper.Keeper")


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(true: Callable[[], object], seconds: float = 30, what: str = "") -> None:
    """Wait until `true()` is; AssertionError with `what` when it does not become so."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, what or "it did not happen in time"
        time.sleep(0.1)


class Product:
    """One running installation. `env` adds to its environment (PHPBORG_BACKUP_HOST …)."""

    def __init__(self, root: Path | None = None, **env: str) -> None:
        self.root = root or Path(tempfile.mkdtemp(prefix="phpborg-product-"))
        self.root.chmod(0o755)
        self.var = self.root / "var"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.redis_socket = self.root / "redis.sock"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PHPBORG_", "DJANGO_"))}
        self.env = {
            **kept,
            "DJANGO_SETTINGS_MODULE": "phpborg.settings",
            "PHPBORG_VAR": str(self.var),
            "PHPBORG_PUBLIC_URL": self.url,
            "SECRET_KEY": "only-for-the-tests",
            "REDIS_URL": f"unix://{self.redis_socket}",
            "DATABASE_URL": f"sqlite:///{self.var / 'phpborg.sqlite3'}",
            "PYTHONPATH": str(HOME),
            **env,
        }

    # --- life ------------------------------------------------------------------------------------

    def prepare(self) -> Product:
        """Key file, database, static files."""
        self.var.mkdir(mode=0o700, exist_ok=True)
        setup = (
            "import sys; from pathlib import Path; import django; django.setup()\n"
            "from phpborg.crypto import create_key_file; create_key_file(Path(sys.argv[1]))"
        )
        subprocess.run(
            [sys.executable, "-c", setup, str(self.var / "encryption-key")], env=self.env, cwd=HOME, check=True
        )
        self.manage("migrate", "--verbosity", "0")
        self.manage("collectstatic", "--noinput", "--verbosity", "0")
        return self

    def start(self, workers: dict[str, tuple[str, ...]] | None = None) -> Product:
        """Start everything and wait until it answers."""
        self.start_redis()
        self.start_web()
        for name, queues in (WORKERS if workers is None else workers).items():
            self.start_worker(name, queues)
        self.start_clock()
        eventually(self._answers, 40, f"the web server does not answer: {self.log('web')[-2000:]}")
        return self

    def start_redis(self) -> None:
        argv = ["redis-server", "--port", "0", "--unixsocket", str(self.redis_socket), "--dir", str(self.root)]
        self._spawn("redis", [*argv, "--save", "", "--appendonly", "no"])
        eventually(self._redis_answers, 10, "Redis does not answer")

    def start_web(self) -> None:
        argv = ["-m", "daphne", "--no-server-name", "-b", "127.0.0.1", "-p", str(self.port), "phpborg.asgi:application"]
        self._spawn("web", [sys.executable, *argv])

    def start_worker(self, name: str, queues: tuple[str, ...]) -> None:
        words = ["rqworker", "--skip-checks", *(_KEEPER if queues == ("sessions",) else ()), *queues]
        self._spawn(f"worker-{name}", [sys.executable, str(HOME / "manage.py"), *words])

    def start_clock(self) -> None:
        self._spawn("clock", [sys.executable, str(HOME / "manage.py"), "clock"])

    def _spawn(self, name: str, argv: list[str]) -> None:
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                argv, env=self.env, cwd=HOME, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def end(self, name: str, number: int = signal.SIGTERM, seconds: float = 30) -> None:
        """End one process by its pid and wait for it."""
        process = self.processes.pop(name, None)
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """End everything, Redis last."""
        for name in sorted(self.processes, key=lambda name: (name == "redis", name == "clock", name)):
            self.end(name)

    def __enter__(self) -> Product:
        return self.prepare().start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- asking ----------------------------------------------------------------------------------

    def log(self, name: str) -> str:
        """What a process wrote."""
        path = self.root / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def manage(self, *argv: str, check: bool = True, stdin: str = "", timeout: float = 300) -> str:
        """A management command's stdout. With `check`, AssertionError unless it ends with 0."""
        ended = subprocess.run(
            [sys.executable, str(HOME / "manage.py"), *argv],
            env=self.env,
            cwd=HOME,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert not check or ended.returncode == 0, (
            f"manage.py {argv}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        )
        return ended.stdout

    def manage_json(self, *argv: str, check: bool = True, **more: Any) -> Any:
        """The answer of a management command with --json."""
        return json.loads(self.manage(*argv, "--json", check=check, **more))

    def python(self, code: str, timeout: float = 300) -> str:
        """Run a piece of Python inside the product's Django; its stdout."""
        ended = subprocess.run(
            [sys.executable, "-c", f"import django; django.setup()\n{code}"],
            env=self.env,
            cwd=HOME,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def create_user(self, name: str, role: str = "admin", language: str = "fr") -> None:
        """Somebody who can sign in with PASSWORD."""
        self.python(
            "from phpborg.accounts.models import User\n"
            f"User.objects.create_user({name!r}, password={PASSWORD!r}, role={role!r}, language={language!r}).save()"
        )

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
        return False

    def _redis_answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self.redis_socket))
            return True
        return False
