"""`python hanging_mount.py TARGET PROGRAM…`: run a program where a filesystem is mounted that never answers.

Like a file server that is gone: whoever asks it (statvfs) is held by the kernel, also against SIGKILL. The mount is
in a namespace of this process and ends with it.
"""

import ctypes
import os
import struct
import subprocess
import sys
import threading

_CLONE_NEWNS = 0x00020000
_MS_REC_PRIVATE = 0x4000 | 1 << 18
_INIT = 26
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _serve(device: int) -> None:
    """Answer the greeting, then read questions and never answer one."""
    while True:
        question = os.read(device, 1 << 17)
        _, opcode, unique = struct.unpack_from("=IIQ", question)
        if opcode == _INIT:
            greeting = struct.pack("=IIIIHHI", 7, 22, 1 << 16, 0, 8, 8, 1 << 16)
            os.write(device, struct.pack("=IiQ", 16 + len(greeting), 0, unique) + greeting)


def main(target: str, program: list[str]) -> int:
    """Mount, run, and end; the end of this process ends the filesystem."""
    _check(_libc.unshare(_CLONE_NEWNS))
    _check(_libc.mount(b"none", b"/", None, _MS_REC_PRIVATE, None))
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    _check(_libc.mount(b"gone.example.org:/export", os.fsencode(target), b"fuse", 0, options))
    threading.Thread(target=_serve, args=(device,), daemon=True).start()
    return subprocess.run(program).returncode


if __name__ == "__main__":
    status = main(sys.argv[1], sys.argv[2:])
    sys.stdout.flush()
    os._exit(status)
