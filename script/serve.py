"""The second half of script/server: set up var/, the database and the first job, then run everything.

Supervisor keeps the processes running; this program is its parent. It adopts whatever a killed
worker leaves behind, so that Ctrl-C ends all that was started here and nothing else.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import environ

HOME = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOME), str(HOME / "script")]

from setting_up import fail, make_secret_key, say, set_up, start_django  # noqa: E402
from supervise import address, check_port, run  # noqa: E402

# The longest socket below var/ is Supervisor's, while it is being made; Linux allows 107 bytes.
LONGEST_SOCKET = "/run/supervisor.sock.4194304"
DEFAULTS = {
    "PHPBORG_BIND": "127.0.0.1",
    "PHPBORG_PORT": "8000",
    "PHPBORG_WORKERS_BACKUP": "2",
    "PHPBORG_WORKERS_RESTORE": "1",
    "PHPBORG_WORKERS_QUICK": "1",
    "PHPBORG_WORKERS_SYSTEM": "1",
    "PHPBORG_STOP_SECONDS": "60",
}


def read_options() -> bool:
    """Options and .env into the environment; True when only the setup is wanted."""
    parser = argparse.ArgumentParser(prog="script/server")
    parser.add_argument("--bind")
    parser.add_argument("--port")
    parser.add_argument("--setup-only", action="store_true")
    options = parser.parse_args()
    if options.bind:
        os.environ["PHPBORG_BIND"] = options.bind
    if options.port:
        os.environ["PHPBORG_PORT"] = options.port
    environ.Env.read_env(HOME / ".env")
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
        if name != "PHPBORG_BIND" and not os.environ[name].isdigit():
            fail(f"{name} is “{os.environ[name]}”. Write a whole number.")
    if not 1 <= int(os.environ["PHPBORG_PORT"]) <= 65535:
        fail(f"PHPBORG_PORT is {os.environ['PHPBORG_PORT']}. Write a number from 1 to 65535.")
    return bool(options.setup_only)


def make_var() -> Path:
    """var/ and its folders, for the owner only."""
    var = Path(os.environ.setdefault("PHPBORG_VAR", str(HOME / "var")))
    if not var.is_absolute():
        fail(f"PHPBORG_VAR is “{var}”. Write an absolute path.")
    if len(os.fsencode(f"{var}{LONGEST_SOCKET}")) > 107:
        fail(f"PHPBORG_VAR is “{var}”: too long for the sockets in it. Choose a path of at most 79 bytes.")
    try:
        run_folder = Path(os.environ.get("PHPBORG_RUN", var / "run"))
        for folder in (var, var / "run", run_folder, var / "log", var / "redis"):
            if not folder.is_dir():
                folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        fail(f"{var} cannot be made: {error.strerror}. Choose another place with PHPBORG_VAR.")
    return var


@contextmanager
def only_one(var: Path) -> Iterator[None]:
    """Hold the lock of this var/ while we live; a second server says where the first one is."""
    with (var / "run/server.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            fail(f"phpBorg is already running: {file.read().strip() or 'it is being set up'}.")
        file.truncate(0)
        file.write(f"{address()} (process {os.getpid()})")
        file.flush()
        yield


def main() -> int:
    sys.stdout.reconfigure(line_buffering=True)
    setup_only = read_options()
    os.chdir(HOME)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phpborg.settings")
    before = os.umask(0o077)
    var = make_var()
    with only_one(var):
        make_secret_key(var)
        start_django()
        if not setup_only:
            check_port()
        set_up(var)
        os.umask(before)
        if setup_only:
            say("Everything is set up. Start it with script/server.")
            return 0
        return run(var)


if __name__ == "__main__":
    sys.exit(main())
