"""Random work on a copy-on-write tree and on an ordinary directory: both give the same answers and the same bytes."""

from __future__ import annotations

import errno
import mmap
import os
import random
import shutil
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cow import BLOCK, allocate, facts, tree

pytestmark = pytest.mark.real
NAMES = ["a", "b", "c", "d", "e"]
FOLDERS = ["", "one", "two", "one/in", "two/deep", "new"]
SIZES = [0, 1, 4096, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 777]


def fill(lower: Path, chance: random.Random) -> None:
    """A small tree: files of telling sizes, holes, links, names of one file."""
    for folder in FOLDERS[:-1]:
        (lower / folder).mkdir(exist_ok=True)
        for name in NAMES[:3]:
            (lower / folder / name).write_bytes(chance.randbytes(chance.choice(SIZES)))
    with (lower / "one/hole").open("wb") as file:
        file.truncate(5 * BLOCK)
        file.seek(2 * BLOCK + 10)
        file.write(b"island")
    os.link(lower / "one/a", lower / "two/d")
    os.symlink("/etc/hostname", lower / "two/e")


class Work:
    """Draws operations; each is a function of a root, to be carried out below both."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def path(self) -> str:
        return os.path.join(self.chance.choice(FOLDERS), self.chance.choice([*NAMES, "hole"]))

    def offset(self) -> int:
        near = self.chance.choice([0, BLOCK, 2 * BLOCK, 3 * BLOCK, 5 * BLOCK])
        return max(0, near + self.chance.choice([0, 0, -1, 1, -5000, 4096, 30000]))

    def draw(self) -> Callable[[Path], object]:
        kinds = (
            [self.write] * 6 + [self.truncate] * 3 + [self.rename] * 3 + [self.punch] * 2 + [self.mapped] * 2
            + [self.unlink] * 2 + [self.append, self.mkdir, self.rmdir, self.rename_folder, self.link, self.symlink]
            + [self.attributes, self.create, self.unlinked, self.direct, self.read, self.listing]
        )  # fmt: skip
        return self.chance.choice(kinds)()

    def opened(self, flags: int, then: Callable[[int], object]) -> Callable[[Path], object]:
        path = self.path()

        def act(root: Path) -> object:
            fd = os.open(root / path, flags | os.O_NOFOLLOW, 0o640)
            try:
                return then(fd)
            finally:
                os.close(fd)

        return act

    def write(self) -> Callable[[Path], object]:
        data, offset = self.chance.randbytes(self.chance.choice([1, 100, 8192, BLOCK, 2 * BLOCK + 5])), self.offset()
        return self.opened(os.O_RDWR, lambda fd: os.pwrite(fd, data, offset))

    def create(self) -> Callable[[Path], object]:
        data = self.chance.randbytes(10)
        return self.opened(os.O_RDWR | os.O_CREAT | self.chance.choice([0, os.O_EXCL]), lambda fd: os.write(fd, data))

    def append(self) -> Callable[[Path], object]:
        data = self.chance.randbytes(3000)
        return self.opened(os.O_WRONLY | os.O_APPEND, lambda fd: os.write(fd, data))

    def truncate(self) -> Callable[[Path], object]:
        first, then = self.offset(), self.offset()

        def then_(fd: int) -> object:
            os.ftruncate(fd, first)
            os.ftruncate(fd, then)
            return os.fstat(fd).st_size

        return self.opened(os.O_RDWR, then_)

    def punch(self) -> Callable[[Path], object]:
        mode, offset, length = self.chance.choice([3, 0, 1]), self.offset(), self.chance.choice([1, 4096, 2 * BLOCK])
        return self.opened(os.O_RDWR, lambda fd: allocate(fd, mode, offset, length))

    def mapped(self) -> Callable[[Path], object]:
        data, where = self.chance.randbytes(50), self.chance.random()

        def then(fd: int) -> object:
            size = os.fstat(fd).st_size
            if size < len(data):
                return None
            with mmap.mmap(fd, size) as area:
                start = int((size - len(data)) * where)
                before = bytes(area[start : start + len(data)])
                area[start : start + len(data)] = data
                area.flush()
                return before

        return self.opened(os.O_RDWR, then)

    def direct(self) -> Callable[[Path], object]:
        byte, block = self.chance.randbytes(1), self.chance.randrange(60)

        def then(fd: int) -> object:
            with mmap.mmap(-1, 8192) as page:
                page[:] = byte * 8192
                os.pwritev(fd, [page], block * 4096)
                return os.preadv(fd, [page], block * 4096), page[:]

        return self.opened(os.O_RDWR | os.O_DIRECT, then)

    def read(self) -> Callable[[Path], object]:
        offset = self.offset()
        return self.opened(os.O_RDONLY, lambda fd: os.pread(fd, 100_000, offset))

    def unlinked(self) -> Callable[[Path], object]:
        """Open, remove the name, write and read through what is still open."""
        path, data, offset = self.path(), self.chance.randbytes(500), self.offset()

        def act(root: Path) -> object:
            fd = os.open(root / path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                os.unlink(root / path)
                os.pwrite(fd, data, offset)
                return os.pread(fd, 10 * BLOCK, 0), os.fstat(fd).st_nlink
            finally:
                os.close(fd)

        return act

    def rename(self) -> Callable[[Path], object]:
        old, new = self.path(), self.path()
        return lambda root: os.rename(root / old, root / new)

    def rename_folder(self) -> Callable[[Path], object]:
        old, new = self.chance.choice(FOLDERS[1:]), self.chance.choice(FOLDERS[1:])
        return lambda root: os.rename(root / old, root / new)

    def unlink(self) -> Callable[[Path], object]:
        path = self.path()
        return lambda root: os.unlink(root / path)

    def mkdir(self) -> Callable[[Path], object]:
        path = self.chance.choice([*FOLDERS[1:], "one/a"])
        return lambda root: os.mkdir(root / path, 0o750)

    def rmdir(self) -> Callable[[Path], object]:
        path, empty = self.chance.choice(FOLDERS[1:]), self.chance.random() < 0.5

        def act(root: Path) -> object:
            for name in os.listdir(root / path) if empty else ():
                if not (root / path / name).is_dir() or (root / path / name).is_symlink():
                    os.unlink(root / path / name)
            os.rmdir(root / path)
            return None

        return act

    def link(self) -> Callable[[Path], object]:
        old, new = self.path(), self.path()
        return lambda root: os.link(root / old, root / new, follow_symlinks=False)

    def symlink(self) -> Callable[[Path], object]:
        path = self.path()
        return lambda root: os.symlink("../one/a", root / path)

    def attributes(self) -> Callable[[Path], object]:
        path, mode, when = self.path(), self.chance.choice([0o600, 0o444, 0o751]), self.chance.randrange(10**18)

        def act(root: Path) -> object:
            os.chown(root / path, 77, 78, follow_symlinks=False)
            if not (root / path).is_symlink():
                os.chmod(root / path, mode)
            os.utime(root / path, ns=(when, when), follow_symlinks=False)
            return None

        return act

    def listing(self) -> Callable[[Path], object]:
        path = self.chance.choice(FOLDERS)
        return lambda root: sorted(os.listdir(root / path))


def outcome(act: Callable[[Path], object], root: Path) -> object:
    """What it gave, or which error."""
    try:
        return act(root)
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def picture(root: Path) -> dict[str, tuple[object, ...]]:
    """The tree as it can be seen: kind, mode, owner, links, size, content."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            seen = os.lstat(path)
            what: object = os.readlink(path) if stat.S_ISLNK(seen.st_mode) else None
            if stat.S_ISREG(seen.st_mode):
                what = (seen.st_nlink, seen.st_size, Path(path).read_bytes())
            found[os.path.relpath(path, root)] = (seen.st_mode, seen.st_uid, seen.st_gid, what)
    return found


@pytest.mark.parametrize("round_", range(5))
def test_random_work_gives_what_an_ordinary_directory_gives(tmp_path: Path, round_: int) -> None:
    seed = time.time_ns()  # every assertion names it
    chance = random.Random(seed)
    cow, model = tree(tmp_path), tmp_path / "model"
    fill(cow.lower, chance)
    shutil.copytree(cow.lower, model, symlinks=True)
    os.unlink(model / "two/d")
    os.link(model / "one/a", model / "two/d")
    before, work = facts(cow.lower), Work(chance)
    with cow:
        for step in range(600):
            act = work.draw()
            assert outcome(act, cow.point) == outcome(act, model), (seed, step, act.__qualname__)
            if step % 150 == 149:
                assert picture(cow.point) == picture(model), (seed, step)
            if step == 299:
                cow.kill()
                cow.start()
                assert picture(cow.point) == picture(model), (seed, "after the kill")
        assert cow.stop() == 0
        cow.start()
        assert picture(cow.point) == picture(model), (seed, "after a clean end")
    assert facts(cow.lower) == before


def test_many_threads_move_their_own_files_through_shared_folders(tmp_path: Path) -> None:
    """Each thread knows its own files; folders, the record and the lower names are everybody's."""
    seed = time.time_ns()  # every assertion names it
    cow = tree(tmp_path)
    fill(cow.lower, random.Random(seed))
    for number in range(6):
        for name in range(10):
            (cow.lower / "two" / f"{number}-{name}").write_bytes(bytes([name]) * 2000)
    before, failed = facts(cow.lower), []
    owned: list[dict[Path, bytes]] = [{} for _ in range(6)]

    def work(number: int) -> None:
        chance, mine = random.Random(seed + number), owned[number]
        mine.update({cow.point / "two" / f"{number}-{name}": bytes([name]) * 2000 for name in range(10)})
        try:
            for step in range(150):
                path = chance.choice(sorted(mine))
                target = cow.point / chance.choice(FOLDERS[:-1]) / f"{number}-{chance.randrange(30)}"
                if step % 3 == 0:
                    os.rename(path, target)
                    mine[target] = mine.pop(path)
                elif step % 3 == 1:
                    mine[target] = chance.randbytes(3000)
                    target.write_bytes(mine[target])
                elif len(mine) > 5:
                    path.unlink()
                    del mine[path]
                assert all(path.read_bytes() == data for path, data in mine.items()), (seed, number, step)
        except BaseException as error:
            failed.append(error)
            raise

    def agree() -> None:
        seen = set(cow.point.rglob("?-*"))
        expected = {path: data for mine in owned for path, data in mine.items()}
        assert seen == set(expected), seed
        assert all(path.read_bytes() == data for path, data in expected.items()), seed

    with cow:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        agree()
        cow.kill()
        cow.start()
        agree()
    assert facts(cow.lower) == before
