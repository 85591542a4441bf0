"""The process that serves one copy-on-write tree: `python -m recovery.cow --lower L --upper U --mountpoint M`.

In the foreground. Writes one JSON line to its standard output when it is mounted. SIGTERM and SIGINT unmount, make
everything durable and end it with 0; so does an unmount from outside. `status` of this package asks it how it is.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import sys
import threading
import time

from . import wire
from .content import BLOCK
from .fuse import Filesystem
from .record import FormatError
from .status import Answering
from .store import Store

_SETTLE_SECONDS = 5
_LEAVE_SECONDS = 10
_SIGNALS = {signal.SIGTERM, signal.SIGINT}


def _owner(text: str) -> tuple[int, int]:
    uid, _, gid = text.partition(":")
    return int(uid), int(gid)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="recovery.cow", description="A writable view of a read-only tree.")
    for name in ("lower", "upper", "mountpoint"):
        parser.add_argument(f"--{name}", required=True, type=os.fsencode)
    parser.add_argument("--owner", type=_owner, help="UID:GID: show everything below as theirs")
    parser.add_argument("--threads", type=int, default=4)
    return parser.parse_args()


def _figures(store: Store, filesystem: Filesystem) -> dict[str, int]:
    figures = filesystem.totals().as_dict()
    return {**figures, "block_bytes": BLOCK, "upper_bytes": store.files.upper_bytes(), "pid": os.getpid()}


def _wait(store: Store, threads: list[threading.Thread]) -> bool:
    """Until a signal (True) or an unmount (False); meanwhile what was written becomes durable."""
    settled = time.monotonic()
    while any(thread.is_alive() for thread in threads):
        if signal.sigtimedwait(_SIGNALS, 1.0) is not None:
            return True
        if time.monotonic() - settled >= _SETTLE_SECONDS:
            settled = time.monotonic()
            try:
                store.files.settle(store.nodes)
            except OSError as error:
                sys.stderr.write(f"not durable yet: {error}\n")
    return False


def _leave(point: bytes, threads: list[threading.Thread]) -> bool:
    """Unmount; False when somebody still had it open after a while (they get errors from now on)."""
    try:
        wire.unmount(point)
    except OSError:
        with contextlib.suppress(OSError):  # somebody was faster
            wire.unmount(point, lazy=True)
    deadline = time.monotonic() + _LEAVE_SECONDS
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


def main() -> int:
    """Serve to the end; answers the exit code (1: it could not be mounted, 3: it was still in use at the end)."""
    arguments = _arguments()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # an open file takes up to three descriptors here
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        store = Store(arguments.lower, arguments.upper, owner=arguments.owner)
        fd = wire.mount(arguments.mountpoint)
    except (OSError, FormatError) as error:
        sys.stderr.write(f"cannot mount: {error}\n")
        return 1
    try:
        clean = _serve(store, Filesystem(store, fd), arguments)
    except BaseException:
        wire.unmount(arguments.mountpoint, lazy=True)  # nobody shall meet a dead mount
        raise
    finally:
        store.close()
    sys.stderr.flush()
    os._exit(0 if clean else 3)  # a thread may still wait for a request that will not come


def _serve(store: Store, filesystem: Filesystem, arguments: argparse.Namespace) -> bool:
    """From mounted to unmounted; False when it was still in use at the end."""
    wire.greet(filesystem.fd)
    threads = filesystem.serve(arguments.threads)
    for path in (arguments.mountpoint, arguments.lower):
        wire.read_ahead(path)
    with Answering(arguments.upper, lambda: _figures(store, filesystem)):
        sys.stdout.write(json.dumps({"mounted": os.fsdecode(arguments.mountpoint), "pid": os.getpid()}) + "\n")
        sys.stdout.flush()
        return not _wait(store, threads) or _leave(arguments.mountpoint, threads)


if __name__ == "__main__":
    sys.exit(main())
