"""Streams into an archive: what a tool prints becomes a file of the archive and never touches the disk.

Borg reads each stream from a named pipe (`--read-special`) in the order in which they are asked for; its
producer starts when borg opens the pipe. A stream that does not end well must not become a restore point:
its pipe is kept open, so that borg cannot finish the file, until borg has been ended. Success is the exit
status 0 of the producer and, where a format has one, the last line that only a whole dump has.
"""

import errno
import os
import select
import signal
import stat
import subprocess
import threading
import time
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Union

from . import children, forked, memory, pipes, places, validate, wire

MOST_STREAMS = 2000
_CHUNK = 1 << 20
_TAIL = 4096
_STDERR_KEPT = 8192
# So long may borg take to end after it has closed its input.
_OWN_END_SECONDS = 10.0
GONE = "borg stopped reading"
NOT_READ = "borg ended before this stream was read to its end"


Running = Union["subprocess.Popen[bytes]", forked.Forked]


class Producer(NamedTuple):
    """A tool whose output is the stream, or a function of ours: `work(sink)` writes it or raises."""

    # Of a function: its name for people.
    argv: List[str]
    # The account to run as, when we are root; its name for people is in `what`.
    user: Optional[str] = None
    env: Dict[str, str] = {}
    # What the last bytes of a whole stream hold; empty: the format has no such mark.
    trailer: bytes = b""
    what: str = ""
    # Descriptors that it gets under their numbers: `memory.secret` makes one of a password.
    fds: Sequence[int] = ()
    work: Optional[Callable[[int], None]] = None


class Stream(NamedTuple):
    """A file of the archive (relative, plain) and what makes it."""

    name: bytes
    producer: Producer


class Failed(NamedTuple):
    """Why a stream is not whole."""

    stream: Stream
    reason: str


class Pipes:
    """The private directory with one named pipe for each stream; borg's working directory."""

    def __init__(self, token: str, streams: List[Stream]) -> None:
        self.path = directory(token)
        os.makedirs(os.path.dirname(self.path), mode=0o711, exist_ok=True)
        os.mkdir(self.path, 0o700)
        try:
            for stream in streams:
                place = os.path.join(os.fsencode(self.path), stream.name)
                os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
                os.mkfifo(place, 0o600)
        except BaseException:
            remove(self.path)
            raise

    def __enter__(self) -> "Pipes":
        return self

    def __exit__(self, *_: object) -> None:
        remove(self.path)


def directory(token: str) -> str:
    """Where the pipes of one run are: whoever knows the token can remove what a killed run left."""
    base = places.RUN if os.geteuid() == 0 else places.state_directory()
    return os.path.join(base, "streams-" + token)


def remove(path: str) -> bool:
    """Take pipes and directories away; True when there was something. Nothing else is ever removed there."""
    if not os.path.isdir(path):
        return False
    for folder, names, files in os.walk(path, topdown=False):
        for name in files:
            place = os.path.join(folder, name)
            if stat.S_ISFIFO(os.lstat(place).st_mode):
                os.unlink(place)
        for name in names:
            os.rmdir(os.path.join(folder, name))
    os.rmdir(path)
    return True


def stream_dir(request: wire.Request, control: wire.Control) -> None:
    """The verb for the clean-up after a run that was killed: answers {"removed": bool}."""
    wire.answer({"removed": remove(directory(validate.token(request.args.get("token"))))})


class Beside:
    """A thread that fills borg's input with what producers print. `done` tells of each that was whole."""

    def __init__(self, borg: children.Tool, control: wire.Control) -> None:
        self.done: List[Dict[str, Any]] = []
        self._borg = borg
        self._control = control
        self._over = threading.Event()
        self._running: Optional[Running] = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        raise AssertionError("what fills borg's input says how")

    def start(self) -> None:
        """Begin; borg may be reading already."""
        self._thread.start()

    def finish(self) -> None:
        """Borg has ended: so does the producer that still runs, and nothing is fed any more."""
        self._over.set()
        running = self._running
        if running is not None:
            children.signal_group(running.pid, signal.SIGTERM)
        self._thread.join(10)
        if running is not None:
            children.signal_group(running.pid, signal.SIGKILL)

    def _safely(self, fill: Callable[[], Optional[str]]) -> Optional[str]:
        """Whatever breaks in it is a stream that is not whole, never a borg that waits for ever."""
        try:
            return fill()
        except BaseException as error:
            return "{}: {}".format(type(error).__name__, error)

    def _collect(self, child: Running) -> int:
        """The producer's end, as subprocess tells it; nothing of its group stays."""
        assert child.stdout is not None
        child.stdout.close()
        code = child.wait()
        children.signal_group(child.pid, signal.SIGKILL)
        children.forget(child.pid)
        self._running = None
        return code


class Feeder(Beside):
    """Fills the pipes, one after the other, beside borg. `failed` says why borg was ended, or None."""

    def __init__(self, pipes: Pipes, streams: List[Stream], borg: children.Tool, control: wire.Control) -> None:
        super().__init__(borg, control)
        self.failed: Optional[Failed] = None
        self._pipes = pipes
        self._streams = streams

    def finish(self) -> None:
        """See above; what was not read to its end is told."""
        super().finish()
        if self.failed is None and len(self.done) < len(self._streams):
            missing = self._streams[len(self.done)]
            self.failed = Failed(missing, NOT_READ)

    def _work(self) -> None:
        for stream in self._streams:
            sink = self._open(stream)
            if sink is None:
                return
            try:
                reason = self._safely(partial(self._feed, stream, sink))
                # Borg that ended by itself has its own reason, which its exit status tells.
                if reason is not None and not self._over.wait(_OWN_END_SECONDS if reason == GONE else 0):
                    # The pipe stays open: borg is waiting for more of this file and cannot commit it.
                    self.failed = Failed(stream, reason)
                    interrupt(self._borg, self._over)
            finally:
                os.close(sink)
            if reason is not None:
                return

    def _open(self, stream: Stream) -> Optional[int]:
        """The pipe's end for writing, once borg has opened the other one; None when borg ended before."""
        place = os.path.join(os.fsencode(self._pipes.path), stream.name)
        while not self._over.is_set():
            try:
                sink = os.open(place, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    return None
                time.sleep(0.02)
                continue
            os.set_blocking(sink, True)
            return sink
        return None

    def _feed(self, stream: Stream, sink: int) -> Optional[str]:
        """Run the producer to its end; None when the whole stream is in the pipe, else the reason."""
        producer = stream.producer
        with Said() as said:
            try:
                child = begin(producer, said.descriptor)
            except OSError as error:
                return str(error)
            self._running = child
            assert child.stdout is not None
            for pipe in (child.stdout.fileno(), sink):
                pipes.widen(pipe)
            count, tail = 0, b""
            try:
                while True:
                    if self._control.is_set() or self._over.is_set():
                        children.signal_group(child.pid, signal.SIGTERM)
                        return "stopped before the end"
                    if not select.select([child.stdout], [], [], 0.5)[0]:
                        continue
                    chunk = os.read(child.stdout.fileno(), _CHUNK)
                    if not chunk:
                        break
                    count += len(chunk)
                    tail = (tail + chunk[-_TAIL:])[-_TAIL:]
                    _write(sink, chunk)
            except BrokenPipeError:
                children.signal_group(child.pid, signal.SIGTERM)
                return GONE
            finally:
                code = self._collect(child)
            return self._judge(stream, code, count, tail, said.text())

    def _judge(self, stream: Stream, code: int, count: int, tail: bytes, words: str) -> Optional[str]:
        reason = ended(stream.producer, code, words)
        if reason is not None:
            return reason
        trailer = stream.producer.trailer
        if trailer and trailer not in tail:
            name = os.path.basename(stream.producer.argv[0])
            return "{} ended well, but its output has no end (“{}”)".format(name, trailer.decode())
        self.done.append({"name": wire.shown(stream.name), "bytes": count, "what": stream.producer.what, "said": words})
        return None


def begin(producer: Producer, stderr: int) -> Running:
    """Start it; raises OSError when that is impossible."""
    if producer.work is not None:
        return forked.start(producer.work, producer.user, stderr, producer.fds)
    return children.start(producer.argv, producer.user, producer.env, stderr, pass_fds=producer.fds)


def interrupt(borg: children.Tool, over: threading.Event) -> None:
    """End borg while its input stays open. It takes a first SIGINT as a wish for after the next data, which will
    not come, and a second at once.
    """
    patience = time.monotonic() + children.INTERRUPT_SECONDS
    while not over.wait(0.5):
        if time.monotonic() > patience:
            children.signal_group(borg.process.pid, signal.SIGKILL)
        try:
            borg.process.send_signal(signal.SIGINT)
        except ProcessLookupError:
            return


def ended(producer: Producer, code: int, words: str) -> Optional[str]:
    """Why this exit status is a failure, in the tool's own words, or None."""
    if not code:
        return None
    status = "exit {}".format(code) if code > 0 else "signal {}".format(-code)
    return "{} ended with {}: {}".format(os.path.basename(producer.argv[0]), status, words or "it said nothing")


class Said:
    """The standard error of a producer, the last of it; a file, so that nobody waits for its reader."""

    def __enter__(self) -> "Said":
        self.descriptor = memory.unnamed("said")
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def text(self) -> str:
        size = os.fstat(self.descriptor).st_size
        data = os.pread(self.descriptor, _STDERR_KEPT, max(0, size - _STDERR_KEPT))
        return data.decode("utf-8", "replace").strip()

    def lines(self) -> Iterator[str]:
        """All of it, line by line."""
        with open(os.dup(self.descriptor), encoding="utf-8", errors="replace") as file:
            file.seek(0)
            yield from file


def _write(sink: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(sink, view) :]
