"""Runs every process below Supervisor, and ends every one of them."""

from __future__ import annotations

import ctypes
import http.client
import os
import pwd
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from setting_up import fail, say

HOME = Path(__file__).resolve().parent.parent
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
WAIT_FOR_ANSWER_SECONDS = 90
libc = ctypes.CDLL(None, use_errno=True)


def address() -> str:
    bind, port = os.environ["PHPBORG_BIND"], os.environ["PHPBORG_PORT"]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check_port() -> None:
    """Say that the port is taken before anything runs."""
    bind, port = os.environ["PHPBORG_BIND"], int(os.environ["PHPBORG_PORT"])
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
    except OSError as error:
        fail(f"{bind}, port {port}, cannot be listened on: {error.strerror}. Choose another with --bind or --port.")


def service_environment(var: Path) -> dict[str, str]:
    """What script/supervisord.conf and the processes read."""
    from django.conf import settings

    own_redis = f"unix://{var / 'run/redis.sock'}" == settings.REDIS_URL
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "phpborg.settings",
        "PHPBORG_PUBLIC_URL": os.environ.get("PHPBORG_PUBLIC_URL") or address(),
        "PHPBORG_HOME": str(HOME),
        "PHPBORG_VAR": str(var),
        "PHPBORG_USER": pwd.getpwuid(os.geteuid()).pw_name,
        "PHPBORG_PYTHON_BINARY": sys.executable,
        "PHPBORG_OWN_REDIS": str(own_redis).lower(),
        "PHPBORG_DAPHNE_OPTIONS": "--proxy-headers" if settings.SECURE_PROXY_SSL_HEADER else "-v 1",
    }


def start_supervisor(var: Path) -> int:
    """Its process id. It gets our death as a TERM, and no Ctrl-C of the terminal but ours."""
    environment = service_environment(var)
    argv = [sys.executable, "-m", "supervisor.supervisord", "-c", str(HOME / "script/supervisord.conf")]
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        with open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)
        os.chdir(HOME)
        os.execve(sys.executable, argv, environment)
    finally:
        os._exit(127)


def answers() -> bool:
    """Does the web server answer, with the database behind it?"""
    from django.conf import settings

    host = next((name for name in settings.ALLOWED_HOSTS if not name.startswith((".", "*"))), "localhost")
    target, port = address().removeprefix("http://").rsplit(":", 1)
    connection = http.client.HTTPConnection(target.strip("[]"), int(port), timeout=5)
    try:
        connection.request("GET", "/healthz", headers={"Host": host})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def reap(awaited: int) -> bool:
    """Collect ended children, adopted ones too; True when `awaited` is among them."""
    found = False
    with suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            found |= pid == awaited
    return found


def children() -> list[int]:
    """Our living children: the supervisor, and what dead parents below it have left to us."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError, ValueError):
                state, parent = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:2]
                if int(parent) == os.getpid() and state != "Z":
                    found.append(int(entry))
    return found


def end_rest(asked: int) -> None:
    """End whatever still lives below us: asked politely, then not."""
    for number, seconds in ((signal.SIGTERM, 15 if asked < 2 else 2), (signal.SIGKILL, 10)):
        deadline = time.monotonic() + seconds
        told: set[int] = set()
        while (left := children()) and time.monotonic() < deadline:
            for pid in set(left) - told:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
                told.add(pid)
            time.sleep(0.1)
            reap(0)
        reap(0)


def run(var: Path) -> int:
    """Start, wait for the answer, wait for the end, leave nothing. The exit status."""
    asked, stopping = [0], threading.Event()

    def ask(*_: object) -> None:
        asked[0] += 1
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    supervisor, ended, told, status = start_supervisor(var), False, False, 0
    started = time.monotonic()
    while not stopping.wait(0.1 if not told else 0.5):
        ended = reap(supervisor)
        if ended:
            say(f"The supervisor ended by itself; read {var}/log/supervisord.log")
            status = 1
            break
        if not told and answers():
            told = True
            say(f"\nphpBorg answers at {os.environ.get('PHPBORG_PUBLIC_URL') or address()}/")
            say("Ctrl-C stops everything.")
        elif not told and time.monotonic() - started > WAIT_FOR_ANSWER_SECONDS:
            say(f"No answer after {WAIT_FOR_ANSWER_SECONDS} seconds. The last lines of {var}/log/web.log:")
            say(last_lines(var / "log/web.log"))
            status = 1
            break
    stop(supervisor, ended, asked)
    return status


def stop(supervisor: int, ended: bool, asked: list[int]) -> None:
    """End the supervisor, which ends the rest in order; then what is left."""
    grace = int(os.environ["PHPBORG_STOP_SECONDS"])
    if not ended:
        say(f"Stopping: running tasks get {grace} seconds. Once more ends them at once.")
        with suppress(ProcessLookupError):
            os.kill(supervisor, signal.SIGTERM)
        deadline = time.monotonic() + grace + 60
        while not reap(supervisor) and time.monotonic() < deadline and asked[0] < 2:
            time.sleep(0.1)
    close_archives()
    end_rest(asked[0])
    say("Stopped.")


def close_archives() -> None:
    """Take down the archives that somebody has open: ending their borg would leave dead mounts."""
    from django.conf import settings

    from backups.borg.view import unmount
    from phpborg.errors import PhpBorgError
    from phpborg.mounts import mounts_below

    for place in mounts_below(Path(settings.VAR_DIR) / "mounts"):
        with suppress(PhpBorgError, OSError):
            unmount(place, lazy=True)


def last_lines(file: Path) -> str:
    try:
        return "\n".join(file.read_text(errors="replace").splitlines()[-15:])
    except OSError as error:
        return str(error)
