"""A stream into a program inside a container, while what it says is heard: neither waits for the other."""

import http.client
import json
import threading
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence

from .. import wire
from .engine import Engine, _frames, part

# A database may be silent for as long as it builds an index.
_SILENT_SECONDS = 30 * 24 * 3600.0
_LAST_WORD_SECONDS = 10.0
# Once it has all: no single statement works for so long without a word.
_LAST_SILENCE = 24 * 3600.0


class _Hearing(threading.Thread):
    """Takes what the program says, to its end; `error` is what was in the way."""

    def __init__(self, response: http.client.HTTPResponse, out: Any, err: Any) -> None:
        super().__init__(daemon=True)
        self.error: List[BaseException] = []
        self._response, self._out, self._err = response, out, err
        self._heard = 0

    def run(self) -> None:
        """Until the end of its streams."""
        try:
            for stream, data in _frames(self._response):
                self._heard += len(data)
                (self._err if stream == 2 else self._out)(data)
        except BaseException as error:  # told by the thread that waits for it
            self.error.append(error)

    def end(self) -> None:
        """Wait for its last word. Raises Refused when it says nothing for too long."""
        heard = -1
        while self.is_alive():
            if heard == self._heard:
                raise wire.Refused("engine", "it had everything, and said nothing for {:g} s".format(_LAST_SILENCE))
            heard = self._heard
            self.join(_LAST_SILENCE)


def pour(
    engine: Engine,
    container: str,
    argv: Sequence[str],
    chunks: Iterable[bytes],
    out: Callable[[bytes], Any],
    err: Callable[[bytes], Any],
    env: Mapping[str, Optional[str]],
) -> int:
    """Its exit status; when it ended before it had read all, the rest is not asked for. Secrets go into `env`.

    Whatever `chunks` raises ends the program, and is raised.
    """
    asked: Dict[str, Any] = {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": False}
    variables = ["=".join(word for word in pair if word is not None) for pair in sorted(env.items())]
    asked.update(Cmd=list(argv), Env=variables)
    made = str(engine.post("/containers/{}/exec".format(part(container)), asked)["Id"])
    start, kind = json.dumps({"Detach": False, "Tty": False}).encode(), {"Content-Type": "application/json"}
    connection, response = engine._open("POST", "/exec/{}/start".format(part(made)), start, _SILENT_SECONDS, {}, kind)
    hearing = _Hearing(response, out, err)
    hearing.start()
    try:
        _send(connection, chunks, hearing)
        hearing.end()
        if hearing.error:
            raise hearing.error[0]
    except (OSError, http.client.HTTPException) as error:
        raise engine._broken(error) from None
    except BaseException:
        engine._end_program(container, made)
        raise
    finally:
        connection.close()
    return engine._exit_status(made)


def _send(connection: Any, chunks: Iterable[bytes], hearing: _Hearing) -> None:
    for chunk in chunks:
        if not hearing.is_alive():
            return
        if not _given(connection._made.sendall, chunk, hearing):
            return
    if hearing.is_alive():
        _given(connection.feed, b"", hearing)


def _given(give: Callable[[bytes], Any], data: bytes, hearing: _Hearing) -> bool:
    """False when the program has ended: its words and its status say why. The socket is closed with its last word."""
    try:
        give(data)
    except (OSError, ValueError):
        hearing.join(_LAST_WORD_SECONDS)
        if hearing.is_alive():
            raise
        return False
    return True
