"""The container beside the database: pages over its socket, reached through a port of this machine's own loopback.

It is a comfort, so nothing that happens to it ends a session: what is wrong is said in the rows instead, as a word that
the other side knows ("image": it is not there, "start", "ended", "port": none is free).
"""

import re
from typing import Any, Dict, Optional

from .. import children, wire
from . import cage, gateway, inside
from .asked import Beside as Asked
from .asked import Session
from .log import Log
from .stack import Stack

_LOOPBACK = "127.0.0.1"
_ASKED = re.compile(r"\[\d{3}\]:? |: (GET|HEAD|POST) | Accepted$| Closing$")
_STOP_SECONDS = 3.0


class Beside:
    """Looked after by `look`, which waits for nothing, from the moment that the database serves."""

    def __init__(self, session: Session, docker: cage.Docker, stack: Stack, control: wire.Control) -> None:
        self._session = session
        self._docker = docker
        self._stack = stack
        self._control = control
        self._asked: Optional[Asked] = session.adminer
        self._programs = list(session.adminer.programs) if session.adminer else []
        self._log = Log()
        self._tool: Optional[children.Tool] = None
        self._namespace: Optional[inside.Namespace] = None
        self._gateway: Optional[gateway.Gateway] = None
        self._problem = ""

    def facts(self) -> Dict[str, Any]:
        """For the rows; nothing when none was asked for. The port is None until it answers there."""
        if self._asked is None:
            return {}
        port = None if self._gateway is None else self._gateway.port
        return {"adminer_port": port, "adminer_problem": self._problem}

    def look(self) -> None:
        """One step: begin, find out whether it answers, or notice that it has ended."""
        if self._asked is None or self._problem:
            return
        try:
            if self._tool is None:
                self._begin(self._asked)
            elif self._tool.process.poll() is not None:
                self._ended(self._asked)
            elif self._gateway is None:
                self._open(self._asked)
            self._log.bound()
        except (OSError, wire.Refused) as error:
            self._give_up("port" if isinstance(error, wire.Refused) and error.code == "no-port" else "start", error)

    def _begin(self, asked: Asked) -> None:
        argv = self._docker.words("image", "inspect", "--format", "{{.Id}}", asked.image)
        code, _said = children.capture(argv, self._control, timeout=30)
        if code != 0:
            self._give_up("image")
            return
        for file in asked.files:
            self._stack.place(file, *self._session.user)
        self._launch()

    def _launch(self) -> None:
        words = cage.run_beside(self._session, self._docker, self._programs[0], self._stack.merged)
        log = self._log.fileno()
        self._tool = children.Tool(words, children.environment(), stdout=log, stderr=log)

    def _open(self, asked: Asked) -> None:
        """Once it listens. Until then its container may not even be there."""
        if self._namespace is None:
            try:
                self._namespace = inside.Namespace(self._docker, cage.beside(self._session.token), self._control)
            except wire.Refused:
                return
        if self._namespace.answers(asked.port):
            target = gateway.Port(self._namespace, asked.port)
            self._gateway = gateway.Gateway(_LOOPBACK, asked.ports, target)
            self._gateway.start()

    def _ended(self, asked: Asked) -> None:
        assert self._tool is not None
        code = self._tool.process.returncode
        self._tool.end()
        if len(self._programs) > 1 and cage.has_no_such_program(code, self._log.tail()):
            self._programs.pop(0)
            self.close_way()
            name = cage.beside(self._session.token)
            children.capture(cage.remove(self._docker, [name]), self._control, timeout=60)
            self._launch()
        else:
            self._give_up("start" if self._gateway is None else "ended")

    def _give_up(self, problem: str, error: Optional[Exception] = None) -> None:
        """What it said goes to our own standard error, where it is kept with the session's task."""
        self._problem = problem
        self.close_way()
        # Its web server writes every address that was asked for, with the SQL that may stand in it: nobody's log.
        lines = self._log.tail().decode("utf-8", "replace").splitlines()
        words = "\n".join(line for line in lines if not _ASKED.search(line)).strip()[-500:]
        text = "adminer: {}: {} {}\n".format(problem, error or "", words)
        wire.write_all(2, text.encode("utf-8", "replace"))

    def close_way(self) -> None:
        """Nobody comes in any more."""
        if self._gateway is not None:
            self._gateway.close()
            self._gateway = None
        if self._namespace is not None:
            self._namespace.close()
            self._namespace = None

    def end(self) -> None:
        """It holds nothing that is worth a farewell: killed, and its container removed with the others."""
        self.close_way()
        if self._tool is not None:
            self._tool.end()
        self._log.__exit__()
