"""What borg starts as its "ssh": moves bytes between its pipes and the tunnel's socket.

`splice` keeps the bytes in the kernel. It is called through ctypes because Python has it only from 3.10.
"""

import ctypes
import errno
import fcntl
import os
import select
import socket
import sys
import threading
from typing import Callable

_F_SETPIPE_SZ = 1031
_PIPE_BYTES = 1 << 20
_MOVE = 1
_DO_NOT_WAIT = 2

_libc = ctypes.CDLL(None, use_errno=True)


def _splice(source: int, sink: int) -> int:
    moved = _libc.splice(source, None, sink, None, ctypes.c_size_t(_PIPE_BYTES), ctypes.c_uint(_MOVE | _DO_NOT_WAIT))
    if moved < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(moved)


def _copy(source: int, sink: int) -> int:
    data = os.read(source, _PIPE_BYTES)
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(sink, view) :]
        except BlockingIOError:
            _wait(sink, select.POLLOUT)
    return len(data)


def _wait(descriptor: int, event: int) -> None:
    waiting = select.poll()
    waiting.register(descriptor, event)
    waiting.poll()


def _pump(source: int, sink: int, done: Callable[[], None]) -> None:
    move = _splice if hasattr(_libc, "splice") else _copy
    try:
        while True:
            # A splice that waits holds the pipe's lock, and borg at its other end would wait with it:
            # both ends are asked first and the move itself never waits.
            _wait(source, select.POLLIN)
            _wait(sink, select.POLLOUT)
            try:
                if not move(source, sink):
                    break
            except (InterruptedError, BlockingIOError):
                continue
            except OSError as error:
                if error.errno == errno.EINVAL and move is _splice:
                    move = _copy
                    continue
                raise
    except OSError:
        pass
    finally:
        done()


def relay(path: str) -> int:
    """Connect to the socket and move bytes both ways until either side ends."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.connect(os.fsencode(path))
    except OSError as error:
        sys.stderr.write(f"phpborg-remote: the tunnel is closed: {error.strerror}\n")
        return 1
    link.setblocking(False)
    for descriptor in (0, 1):
        try:
            fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            pass

    def close_sending() -> None:
        try:
            link.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    sender = threading.Thread(target=_pump, args=(0, link.fileno(), close_sending), daemon=True)
    sender.start()
    _pump(link.fileno(), 1, lambda: None)
    # The far end closed: nothing that is still sent would be read.
    os.close(1)
    return 0
