"""The container that a session's programs run in: one fixed form, whatever the request asks.

No network, no capability, no new rights, never root, the image itself read-only, and of this machine nothing but the
session's own layers and its run directory. So what a request may choose freely (image, program, arguments) can
do no more than read and change the throw-away layers.
"""

import csv
import io
import os
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .. import children, wire
from ..dockers.engine import check_socket as check_socket
from .asked import ADMINER, ETC, INSIDE, RUN, Session

_TEMPORARY = "rw,nosuid,nodev,size=256m,mode=1777"
_STOP_SECONDS = 20
LABEL = "phpborg.session"
# Over the image's own: the archived numbers are seldom those of its account, and servers look their own up.
ACCOUNTS = {"passwd": "{name}:x:{user}:{group}::/tmp:/sbin/nologin\n", "group": "{name}:x:{group}:\n"}
_NAME = "database"
# The client's exit status where the engine failed, and not the program in the container.
ENGINE_FAILED = 125


class Docker(NamedTuple):
    """The client's first words: which engine it speaks to."""

    begin: List[str]

    def words(self, *rest: str) -> List[str]:
        """A whole command line."""
        return [*self.begin, *rest]


def opened(socket: str) -> Docker:
    """The engine of this machine at this socket. Raises Refused."""
    client = children.find("docker")
    if client is None:
        raise wire.Refused("docker-missing", "there is no docker client in {}".format(":".join(children.SEARCH_PATH)))
    return Docker([client, "--host", "unix://" + check_socket(socket)])


def shown(socket: str) -> Docker:
    """An engine of another machine, for a plan: nothing is looked at."""
    return Docker(["docker", "--host", "unix://" + socket])


def container(token: str, stage: int) -> str:
    """The name of the container of one stage, from which it is found again."""
    return "phpborg-{}-{}".format(token, stage)


def beside(token: str) -> str:
    """The name of the container beside it."""
    return "phpborg-{}-{}".format(token, ADMINER)


def run(session: Session, docker: Docker, number: int, program: str, merged: Callable[[str], str]) -> List[str]:
    """The command line of one stage. `merged` says where a layer is on this machine."""
    stage = session.stages[number]
    words = _form(session.token, container(session.token, number), session.user, session.memory)
    for path in [b"/tmp", *(path for path in session.scratch if path != b"/tmp")]:
        words += ["--tmpfs", "{}:{}".format(wire.shown(path), _TEMPORARY)]
    for layer, target in [*session.mounts, *INSIDE.items()]:
        words += ["--mount", _bind(merged(layer), wire.shown(target), read_only=layer == ETC)]
    for name in ACCOUNTS:
        words += ["--mount", _bind(os.path.join(merged(ETC), name), "/etc/" + name, read_only=True)]
    words += _environment(session.environment)
    words += ["--interactive"] if stage.stdin is not None else []
    return docker.words(*words, "--entrypoint", program, session.image, *stage.argv)


def run_beside(session: Session, docker: Docker, program: str, merged: Callable[[str], str]) -> List[str]:
    """The command line of the container beside: it sees the database's socket, and can change nothing."""
    asked = session.adminer
    assert asked is not None
    words = _form(session.token, beside(session.token), session.user, asked.memory)
    words += ["--tmpfs", "/tmp:{}".format(_TEMPORARY)]
    for layer, target in ((RUN, INSIDE[RUN]), (ADMINER, INSIDE[ETC])):
        words += ["--mount", _bind(merged(layer), wire.shown(target), read_only=True)]
    words += _environment(asked.environment)
    return docker.words(*words, "--entrypoint", program, asked.image, *asked.argv)


def _form(token: str, name: str, account: Tuple[int, int], memory: int) -> List[str]:
    """What holds for every container of ours."""
    user, group = account
    return [
        *("run", "--rm", "--name", name, "--label", "{}={}".format(LABEL, token)),
        *("--pull", "never", "--network", "none", "--user", "{}:{}".format(user, group)),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"),
        *("--memory", str(memory), "--memory-swap", str(memory), "--pids-limit", "4096"),
        *("--stop-timeout", str(_STOP_SECONDS), "--log-driver", "none", "--restart", "no", "--workdir", "/"),
        *("--hostname", "phpborg-session"),
    ]


def _environment(values: Mapping[str, str]) -> List[str]:
    words: List[str] = []
    for name, value in sorted(values.items()):
        words += ["--env", "{}={}".format(name, value)]
    return words


def accounts(user: int, group: int) -> Dict[str, bytes]:
    """The files that tell the container's programs who they are: root and the archived account, nobody else."""
    found = {}
    for name, row in ACCOUNTS.items():
        rows = row.format(name="root", user=0, group=0) + row.format(name=_NAME, user=user, group=group)
        found[name] = rows.encode()
    return found


def has_no_such_program(code: Optional[int], said: bytes) -> bool:
    """Did the engine say that the image lacks the program (the exit statuses of a shell, and its words)?"""
    return code in (126, 127) and (b"no such file or directory" in said or b"executable file not found" in said)


def _bind(source: str, target: str, read_only: bool) -> str:
    """One row of comma-separated values, as docker reads it: an archived path may hold a comma or a quote."""
    text = io.StringIO()
    options = ["readonly"] if read_only else []
    csv.writer(text).writerow(["type=bind", "source=" + source, "target=" + target, *options])
    return text.getvalue().rstrip("\r\n")


def execute(docker: Docker, token: str, stage: int, argv: Sequence[str]) -> List[str]:
    """Another program in the running container."""
    return docker.words("exec", container(token, stage), *argv)


def feed(docker: Docker, token: str, stage: int, argv: Sequence[str]) -> List[str]:
    """As `execute`, with a standard input."""
    return docker.words("exec", "--interactive", container(token, stage), *argv)


def first_process(docker: Docker, name: str) -> List[str]:
    """Its number on this machine; 0 when it has ended."""
    return docker.words("inspect", "--type", "container", "--format", "{{.State.Pid}}", name)


def stop(docker: Docker, name: str, seconds: float) -> List[str]:
    """Ask its program to end, in its own way; it is killed when it has not after so long."""
    return docker.words("stop", "--time", str(int(seconds)), name)


def remove(docker: Docker, names: Sequence[str]) -> List[str]:
    """Whatever state they are in."""
    return docker.words("rm", "--force", "--volumes", *names)


def listing(docker: Docker, token: Optional[str] = None) -> List[str]:
    """The names of the containers of one session, or of all."""
    wanted = "label={}".format(LABEL if token is None else "{}={}".format(LABEL, token))
    return docker.words("ps", "--all", "--no-trunc", "--filter", wanted, "--format", "{{.Names}}")


def exhausted(docker: Docker, token: str, since: int, until: int) -> List[str]:
    """The events of containers of one session that reached their limit of memory, from one second to another."""
    words = docker.words("events", "--since", str(since), "--until", str(until), "--filter", "event=oom")
    return [*words, "--filter", "label={}={}".format(LABEL, token), "--format", "{{.Action}}"]
