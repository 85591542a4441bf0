"""One session from the first mount to the last: it lives as long as this program does."""

import json
import os
import subprocess
import time
from typing import Any, Dict, List, Optional, Sequence

from .. import borg, children, pipes, tree, wire
from . import beside, cage, checks, fault, gateway, layers, sight
from .asked import RUN, Asking, Check, Layer, Session, Stage
from .asker import Asker
from .log import Log
from .stack import Stack

_MOUNT_SECONDS = 300.0
_TELL_SECONDS = 1.0
_REST_SECONDS = 15.0
_PULL_SECONDS = 3600.0
_END_SECONDS = 1.5
_ANSWER_SECONDS = 60.0


def failed(what: str, detail: str, **facts: Any) -> wire.Refused:
    """The reason why there is no session (any more): what, and the program's own last words."""
    text = "{}: {}".format(what, detail.strip()) if detail.strip() else what
    return wire.Refused("instant", text, **facts)


def broken(what: str, detail: str) -> wire.Refused:
    """As `failed`, of what carries the database: nothing is said about its files."""
    return wire.Refused("carrier", str(failed(what, detail)))


def late(what: str, detail: str) -> wire.Refused:
    """As `failed`, of a server that may still have been at work: nothing is said about its files."""
    return wire.Refused("late", str(failed(what, detail)))


class Serving:
    """Everything that is made for one session, in order, and its end, whatever happened."""

    def __init__(
        self, request: wire.Request, control: wire.Control, session: Session, log: Log, asked: Sequence[Check] = ()
    ) -> None:
        self._request = request
        self._checks = asked
        self._control = control
        self._session = session
        self._log = log
        self._docker = cage.opened(session.engine)
        self.stack = Stack(session.token)
        self._tools: List[children.Tool] = []
        self._layers: List[layers.Mounted] = []
        self._database: Optional[children.Tool] = None
        self._gateway: Optional[gateway.Gateway] = None
        path = os.path.join(self.stack.merged(RUN), session.socket or "")
        self._asker = Asker(session, self._docker, path, control)
        self._beside = beside.Beside(session, self._docker, self.stack, control)
        self._machine = fault.Machine(session, self._docker, self.stack.layers, control)
        self._said_before = 0
        self._began = time.monotonic()

    def carry_out(self) -> None:
        """Returns when it was asked to end. Raises Refused when a part of it ended by itself, or never began."""
        session = self._session
        self._check_image()
        self._tell("mounting")
        self.stack.make(session.engine, [layer.name for layer in session.layers], *session.user)
        try:
            self._mount()
            for number, stage in enumerate(session.stages[:-1]):
                self._tell("preparing", stage=number)
                self._prepare(number, stage)
            self._tell("starting")
            self._database = self._up(len(session.stages) - 1)
            if self._checks:
                self._check()
            else:
                self._serve()
        except wire.Refused as refusal:
            raise (self._machine.fault() if refusal.code in ("instant", "late") else None) or refusal from None
        finally:
            self._end()

    # --- the archive and the layers above it -------------------------------------------------------

    def _check_image(self) -> None:
        argv = self._docker.words("image", "inspect", "--format", "{{.Id}}", self._session.image)
        code, said = children.capture(argv, self._control, timeout=30)
        problem = "the image {} is not there"
        if code != 0 and self._session.pull:
            self._tell("fetching")
            argv = self._docker.words("pull", "--quiet", self._session.image)
            code, said = children.capture(argv, self._control, timeout=_PULL_SECONDS)
            problem = "the image {} is not there and cannot be fetched"
        self._control.check()
        if code != 0:
            raise failed(problem.format(self._session.image), _text(said), image=self._session.image)

    def _mount(self) -> None:
        stack = self.stack
        tool = borg.mounter(self._request, self._session.token, stack.archive, self._log.fileno())
        self._tools.append(tool)
        self._until_mounted(tool, stack.archive, "the archive cannot be mounted")
        for layer in self._session.layers:
            self._layers.append(self._layer(layer))
        sight.check(self._session.engine, [mounted.merged for mounted in self._layers])

    def _layer(self, layer: Layer) -> layers.Mounted:
        lower, upper, merged = self._lower(layer.source), self.stack.upper(layer.name), self.stack.merged(layer.name)
        user = self._session.user
        if layer.kind == "overlay":
            mounted = layers.overlay(lower, upper, merged, self._control)
        else:
            mounted = layers.blocks(lower, upper, merged, user, self._log.fileno())
            assert mounted.tool is not None
            self._tools.append(mounted.tool)
            self._until_mounted(mounted.tool, merged, "the writable layer cannot be mounted")
        layers.owned(merged, user)
        return mounted

    def _lower(self, source: bytes) -> str:
        """The directory in the mounted archive; a link on the way would lead to this machine's own files."""
        current = os.open(self.stack.archive, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in [one for one in source.split(b"/") if one]:
                try:
                    following = tree.open_directory(part, current)
                except (OSError, wire.Refused) as error:
                    raise failed("the archive has no directory {}".format(wire.shown(source)), str(error)) from None
                os.close(current)
                current = following
        finally:
            os.close(current)
        return os.path.join(self.stack.archive, wire.shown(source)) if source else self.stack.archive

    def _until_mounted(self, tool: children.Tool, path: str, problem: str) -> None:
        deadline = time.monotonic() + _MOUNT_SECONDS
        while not tree.is_mounted(wire.raw(path)):
            self._control.check()
            if tool.process.poll() is not None or time.monotonic() > deadline:
                raise failed(problem, self._last_words())
            time.sleep(0.01)

    # --- the programs in the container -------------------------------------------------------------

    def _files(self, stage: Stage) -> None:
        for file in stage.files:
            try:
                self.stack.place(file, *self._session.user)
            except OSError as error:
                raise failed("{} cannot be written".format(wire.shown(file.path)), error.strerror or "") from None

    def _launch(self, number: int, program: str) -> children.Tool:
        self._asker.leave()
        stage = self._session.stages[number]
        words = cage.run(self._session, self._docker, number, program, self.stack.merged)
        log = self._log.fileno()
        self._said_before = self._log.size
        if stage.stdin is None:
            return children.Tool(words, children.environment(), stdout=log, stderr=log)
        source = pipes.filled(stage.stdin)
        try:
            return children.Tool(words, children.environment(), stdin=source, stdout=log, stderr=log)
        finally:
            os.close(source)

    def _prepare(self, number: int, stage: Stage) -> None:
        """A stage that ends before the next one begins, and well. What has to be written at its end takes its time."""
        deadline = time.monotonic() + stage.seconds
        if stage.ends:
            self._files(stage)
            for program in stage.programs:
                tool = self._launch(number, program)
                code, signal = tool.wait(self._control, stage.seconds)
                self._control.check()
                if not self._lacks_program(number, code):
                    break
        else:
            tool = self._up(number)
            deadline = time.monotonic() + stage.seconds
            argv = cage.stop(self._docker, cage.container(self._session.token, number), stage.seconds)
            children.capture(argv, self._control, timeout=stage.seconds)
            code, signal = tool.wait(self._control, max(0.0, deadline - time.monotonic()) + _END_SECONDS)
            self._control.check()
        if code != 0 and time.monotonic() >= deadline:
            raise late("the preparation did not end in time", self._last_words())
        if code != 0:
            end = "signal {}".format(signal) if code is None else "exit {}".format(code)
            raise self._ended("the preparation did not succeed ({})".format(end), code)

    def _lacks_program(self, number: int, code: Optional[int]) -> bool:
        """The image has it elsewhere: what is left of the attempt goes, so that the next one may have its name."""
        said = self._log.tail(self._said_before)
        if not cage.has_no_such_program(code, said):
            return False
        name = cage.container(self._session.token, number)
        children.capture(cage.remove(self._docker, [name]), self._control, timeout=60)
        return True

    def _up(self, number: int) -> children.Tool:
        """A server that has answered."""
        stage = self._session.stages[number]
        self._files(stage)
        for program in stage.programs:
            self._database = self._launch(number, program)
            if self._until_ready(number, stage, self._database):
                return self._database
        raise failed("the image has none of {}".format(", ".join(stage.programs)), self._last_words())

    def _until_ready(self, number: int, stage: Stage, tool: children.Tool) -> bool:
        """False when the image has no such program. Raises Refused when it ends, or does not answer in time."""
        deadline = time.monotonic() + stage.seconds
        while not self._asker.listens(number):
            if tool.process.poll() is not None and self._lacks_program(number, tool.process.returncode):
                tool.end()
                return False
            self._pause(tool, deadline)
        for question in stage.ready:
            self._ask(number, question, tool, deadline)
        return True

    def _ask(self, number: int, question: Asking, tool: children.Tool, deadline: float) -> None:
        """Until it is answered as it must be. Raises Refused when it is not in time."""
        while True:
            good, said = self._asker.ask(number, question)
            if good:
                return
            if time.monotonic() > deadline:
                raise late("the database server did not answer a query in time", said[:1500])
            self._pause(tool, deadline)

    def _pause(self, tool: children.Tool, deadline: float) -> None:
        self._control.check()
        self._log.bound()
        if tool.process.poll() is not None:
            raise self._ended("the database server has ended", tool.process.returncode)
        if time.monotonic() > deadline:
            raise late("the database server was not ready in time", self._last_words())
        time.sleep(0.02)

    # --- while it lives ------------------------------------------------------------------------------

    def _serve(self) -> None:
        self._gateway = gateway.Gateway(
            self._session.address, self._session.ports, self._asker.target(), self._session.door
        )
        self._gateway.start()
        told: Dict[str, Any] = {}
        told_at = 0.0
        while not self._control.is_set():
            self._check_alive()
            self._log.bound()
            facts = self._facts()
            if facts != told or time.monotonic() - told_at > _REST_SECONDS:
                told, told_at = facts, time.monotonic()
                self._tell("ready", **facts)
            self._beside.look()
            time.sleep(_TELL_SECONDS)

    def _check(self) -> None:
        """Ask it all that is to be asked; then it has done its work."""
        self._tell("answering", **self._layer_facts())
        assert self._database is not None
        stage, target = len(self._session.stages) - 1, self._asker.target()
        asking = checks.Asking(self._docker, self._session.token, stage, self.stack.directory, target)
        for check in self._checks:
            code = asking.carry_out(check, self._asker.known, self._control, self._tell, self._log.bound)
            self._check_alive()
            # A server that lost one of its programs, or its room, answers with an error and goes on.
            problem = None if code == 0 else self._machine.fault()
            if problem is not None:
                raise problem
            for question in self._session.stages[stage].ready[:1]:  # one that is about to end still runs for a moment
                self._ask(stage, question, self._database, time.monotonic() + _ANSWER_SECONDS)
        self._tell("answered", **self._layer_facts())

    def _facts(self) -> Dict[str, Any]:
        assert self._gateway is not None
        return {
            "port": self._gateway.port,
            "connections": self._gateway.connections,
            "served": self._gateway.served,
            **self._layer_facts(),
        }

    def _layer_facts(self) -> Dict[str, Any]:
        found = [mounted.facts() for mounted in self._layers]
        return {
            "upper_bytes": _sum(found, "upper_bytes"),
            "read_bytes": _sum(found, "read_bytes"),
            **_space(self.stack.layers),
            **({} if self._asker.prepared is None else {"prepared": self._asker.prepared}),
            **self._beside.facts(),
        }

    def _check_alive(self) -> None:
        assert self._database is not None
        if self._database.process.poll() is not None:
            raise self._ended("the database server has ended", self._database.process.returncode)
        if self._tools[0].process.poll() is not None or not tree.is_mounted(wire.raw(self.stack.archive)):
            raise broken("the mount of the archive has ended", self._last_words())
        for mounted in self._layers:
            ended = mounted.tool is not None and mounted.tool.process.poll() is not None
            if ended or not tree.is_mounted(wire.raw(mounted.merged)):
                raise broken("a writable layer has ended", self._last_words())

    def _ended(self, what: str, code: Optional[int]) -> wire.Refused:
        """Why a container is gone: its program's doing, or the engine's, whose own failures have one exit status."""
        if code == cage.ENGINE_FAILED:
            return wire.Refused("docker-away", str(failed("the engine gave the container up", self._last_words())))
        return failed(what, self._last_words())

    def _tell(self, state: str, **facts: Any) -> None:
        """One line of JSON on standard output."""
        row = {"type": "phpborg_instant", "state": state, "seconds": round(time.monotonic() - self._began, 3)}
        wire.write_all(1, json.dumps(dict(row, **facts)).encode() + b"\n")

    def _last_words(self) -> str:
        return _text(self._log.tail())

    # --- its end -------------------------------------------------------------------------------------

    def _end(self) -> None:
        """From the way in to the mount, so that nothing is taken away below who uses it."""
        wire.write_all(1, json.dumps({"type": "phpborg_instant", "state": "stopping"}).encode() + b"\n")
        if self._gateway is not None:
            self._gateway.close()
        self._beside.end()
        self._asker.leave()
        if self._database is not None and self._database.process.poll() is None:
            # Docker passes it on to the program in the container; what that does not hear in time is thrown away.
            self._database.process.terminate()
            try:
                self._database.process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                pass
            self._database.end()
        try:
            self.stack.detach()
        finally:
            for tool in reversed(self._tools):
                _finish(tool)
            self.stack.clear()


def _finish(tool: children.Tool) -> None:
    """Its mount is gone, so it ends by itself, or is ended."""
    try:
        tool.process.wait(2)
    except subprocess.TimeoutExpired:
        pass
    tool.end()


def _text(said: bytes) -> str:
    return said.decode("utf-8", "replace").strip()


def _sum(rows: List[Dict[str, Optional[int]]], key: str) -> Optional[int]:
    """None when one of them is not known."""
    values = [row.get(key) for row in rows]
    return None if any(value is None for value in values) else sum(value for value in values if value is not None)


def _space(path: str) -> Dict[str, int]:
    """Of the disk that the layers lie on: what is free of how much."""
    space = os.statvfs(path)
    return {"free_bytes": space.f_bavail * space.f_frsize, "disk_bytes": space.f_blocks * space.f_frsize}
