"""The mounted tree where an ordinary directory is no model: crashes, full disks, a lower tree that dies."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.cow import BLOCK, Tree, allocate, facts, libc, tree

pytestmark = pytest.mark.real


def test_it_tells_how_it_is_and_ends_cleanly(tmp_path: Path) -> None:
    cow = tree(tmp_path)
    (cow.lower / "file").write_bytes(os.urandom(10 * BLOCK))
    with cow:
        (cow.point / "file").read_bytes()
        with (cow.point / "file").open("r+b") as file:
            file.write(b"x")
        figures = cow.figures()
        assert (figures["blocks_copied"], figures["bytes_written"], figures["block_bytes"]) == (1, 1, BLOCK)
        assert figures["bytes_read"] >= 10 * BLOCK
        assert BLOCK <= figures["upper_bytes"] < 8 * BLOCK
        assert cow.stop() == 0
        assert not os.path.ismount(cow.point)
        with pytest.raises(OSError):
            cow.figures()


def test_an_unmount_from_outside_ends_it_too(tmp_path: Path) -> None:
    with tree(tmp_path) as cow:
        assert libc.umount2(os.fsencode(cow.point), 0) == 0
        assert cow.process is not None
        assert cow.process.wait(10) == 0


def test_it_says_why_it_cannot_be_mounted(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "recovery.cow", "--lower", str(tmp_path / "no"), "--upper", str(tmp_path / "up")]
    ended = subprocess.run([*argv, "--mountpoint", str(tmp_path)], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "No such file" in ended.stderr


WRITER = """
import os, random, sys
chance, path, size = random.Random(int(sys.argv[2])), sys.argv[1], int(sys.argv[3])
fd = os.open(path, os.O_RDWR)
while True:
    offset = chance.randrange(size // 512) * 512
    data = bytes([chance.randrange(1, 256)]) * 512
    os.pwrite(fd, data, offset)
    if chance.random() < 0.3:
        os.fdatasync(fd)
        os.write(1, b"synced %d %d\\n" % (offset, data[0]))
"""


def test_after_a_kill_in_the_middle_nothing_synced_is_lost_and_no_part_is_foreign(tmp_path: Path) -> None:
    """Each 512 bytes are the lower file's or one write's; a synced write is there or a later one of the same place."""
    cow, size = tree(tmp_path), 8 * BLOCK + 2048
    below = os.urandom(size)
    (cow.lower / "file").write_bytes(below)
    state: dict[int, set[bytes]] = {}
    with cow:
        for round_ in range(3):
            argv = [sys.executable, "-c", WRITER, str(cow.point / "file"), str(round_), str(size)]
            writer = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(40)]
            cow.kill()
            lines += writer.stdout.readlines()
            writer.wait(10)
            writer.stdout.close()
            synced = {
                int(words[1]): bytes([int(words[2])]) * 512 for words in map(bytes.split, lines) if len(words) == 3
            }
            cow.start()
            seen = (cow.point / "file").read_bytes()
            assert len(seen) == size
            for offset in range(0, size, 512):
                part = seen[offset : offset + 512]
                assert part in {below[offset : offset + 512], part[:1] * 512}, (round_, offset)
                if offset in synced:
                    assert part == part[:1] * 512, (round_, offset)
                elif offset in state:
                    assert part in state[offset] or part == part[:1] * 512
                state[offset] = {part}
    assert len(synced) >= 20
    assert (cow.lower / "file").read_bytes() == below


def test_a_full_disk_is_enospc_and_what_was_written_stays(tmp_path: Path) -> None:
    cow = tree(tmp_path)
    (cow.lower / "file").write_bytes(os.urandom(64 * BLOCK))
    before = facts(cow.lower)
    cow.upper.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(cow.upper)], check=True)
    try:
        with cow:
            expected = bytearray((cow.lower / "file").read_bytes())
            fd = os.open(cow.point / "file", os.O_RDWR)

            def fill() -> None:
                for start in range(7, 64 * BLOCK, BLOCK):
                    os.pwrite(fd, b"new", start)
                    expected[start : start + 3] = b"new"

            with pytest.raises(OSError) as caught:
                fill()
            assert caught.value.errno == errno.ENOSPC
            assert expected[10 * BLOCK + 7 : 10 * BLOCK + 10] == b"new"
            os.close(fd)
            assert (cow.point / "file").read_bytes() == expected
            cow.kill()
            cow.start()
            assert (cow.point / "file").read_bytes() == expected
            assert os.statvfs(cow.point).f_blocks == os.statvfs(cow.upper).f_blocks
    finally:
        subprocess.run(["umount", str(cow.upper)], check=True)
    assert facts(cow.lower) == before


def test_a_lower_tree_that_dies_gives_errors_and_no_zeros(tmp_path: Path) -> None:
    """The lower tree is itself a mount whose process is killed, as borg's may be."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "outer").mkdir()
    inner, outer = tree(tmp_path / "inner"), tree(tmp_path / "outer")
    (inner.lower / "file").write_bytes(b"d" * 512 * BLOCK)
    far = 500 * BLOCK  # farther than the kernel reads ahead
    outer.lower = inner.point
    with inner, outer:
        with (outer.point / "file").open("r+b", buffering=0) as file:
            file.write(b"mine")
            os.fsync(file.fileno())
            inner.kill()
            with pytest.raises(OSError) as caught:
                os.pread(file.fileno(), BLOCK, far)
            assert caught.value.errno in (errno.ENOTCONN, errno.EIO, errno.ECONNABORTED)
            with pytest.raises(OSError):
                os.pwrite(file.fileno(), b"x", far + 1)
        assert outer.stop() == 0


def test_many_threads_write_their_own_parts_of_one_file(tmp_path: Path) -> None:
    cow, pieces, size = tree(tmp_path), 8, 700
    expected = bytearray(os.urandom(6 * BLOCK))
    (cow.lower / "file").write_bytes(expected)
    with cow:
        fd = os.open(cow.point / "file", os.O_RDWR)

        def work(number: int) -> None:
            for start in range(number * size, 6 * BLOCK - size, pieces * size):
                os.pwrite(fd, bytes([number + 1]) * size, start)
                assert os.pread(fd, size, start) == bytes([number + 1]) * size

        threads = [threading.Thread(target=work, args=(number,)) for number in range(pieces)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.close(fd)
        for number, start in enumerate(range(0, 6 * BLOCK - size, size)):
            expected[start : start + size] = bytes([number % pieces + 1]) * size
        assert (cow.point / "file").read_bytes() == expected
        cow.kill()
        cow.start()
        assert (cow.point / "file").read_bytes() == expected


def test_what_engines_need_beside_files(tmp_path: Path) -> None:
    with tree(tmp_path) as cow:
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(cow.point / "s"))
        server.listen(1)
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(cow.point / "s"))
        client.close()
        server.close()
        os.mkfifo(cow.point / "fifo")
        assert stat.S_ISFIFO(os.stat(cow.point / "fifo").st_mode)
        with (cow.point / "lock").open("w") as first, (cow.point / "lock").open("w") as second:
            fcntl.flock(first, fcntl.LOCK_EX)
            with pytest.raises(BlockingIOError):
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(first, fcntl.LOCK_EX)
        with pytest.raises(OSError) as caught:
            os.setxattr(cow.point / "lock", "user.x", b"1")
        assert caught.value.errno == errno.EOPNOTSUPP


def test_holes_stay_holes(tmp_path: Path) -> None:
    cow = tree(tmp_path)
    with (cow.lower / "file").open("wb") as file:
        file.truncate(32 * BLOCK)
        file.seek(8 * BLOCK)
        file.write(b"d" * BLOCK)
    with cow:
        fd = os.open(cow.point / "file", os.O_RDWR)
        assert os.lseek(fd, 0, os.SEEK_DATA) == 8 * BLOCK
        os.pwrite(fd, b"x", 20 * BLOCK)
        assert os.lseek(fd, 9 * BLOCK, os.SEEK_DATA) in range(19 * BLOCK, 20 * BLOCK + 1)
        allocate(fd, 3, 8 * BLOCK, BLOCK)
        assert os.lseek(fd, 0, os.SEEK_DATA) == 20 * BLOCK
        assert os.lseek(fd, 0, os.SEEK_HOLE) == 0
        with mmap.mmap(fd, 0) as area:
            assert area[8 * BLOCK : 9 * BLOCK] == bytes(BLOCK)
        os.close(fd)
        assert cow.figures()["upper_bytes"] < 8 * BLOCK


def test_a_mount_that_is_in_use_is_taken_away_at_the_end(tmp_path: Path) -> None:
    cow: Tree = tree(tmp_path)
    (cow.lower / "file").write_bytes(b"below")
    with cow:
        holder = subprocess.Popen(["sleep", "60"], cwd=cow.point)
        try:
            assert cow.process is not None
            cow.process.send_signal(signal.SIGTERM)
            for _ in range(50):
                if not os.path.ismount(cow.point):
                    break
                threading.Event().wait(0.1)
            assert not os.path.ismount(cow.point)
        finally:
            holder.kill()
            holder.wait()
        assert cow.process.wait(15) == 0
