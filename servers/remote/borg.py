"""The verb `borg`: one checked borg command on this server, its passphrase by a pipe."""

import json
import os
import re
import shlex
import stat
import subprocess
import sys
import tempfile
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import argv as lines
from . import children, confine, feeding, pipes, places, policy, producers, staging, streams, validate, views, wire

_LOG_BYTES = 1 << 16
_YES_NO = re.compile(r"yes|no")
_ENVIRONMENT = {
    "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": _YES_NO,
    "BORG_RELOCATED_REPO_ACCESS_IS_OK": _YES_NO,
    "BORG_EXIT_CODES": re.compile(r"legacy|modern"),
    "BORG_FILES_CACHE_SUFFIX": re.compile(r"[0-9A-Za-z-]{1,64}"),
    "BORG_FILES_CACHE_TTL": re.compile(r"[0-9]{1,6}"),
    "BORG_SHOW_SYSINFO": _YES_NO,
    "BORG_USE_CHUNKS_ARCHIVE": _YES_NO,
}
_SOCKET = re.compile(r"(/run/phpborg/|/tmp/phpborg-)([0-9A-Za-z-]{8,70})/link(?:-[0-9]{1,6})?\.sock")
# Decrypted pieces of files that a mount keeps: a server that reads here and there needs more than borg's two.
_MOUNT_MEMORY = {"BORG_MOUNT_DATA_CACHE_ENTRIES": "16"}
_INSTALLATION = re.compile(r"[0-9a-f-]{8,36}")


def find_borg() -> str:
    """Borg's path, or the refusal that names where we looked."""
    path = children.find("borg")
    if path is None:
        raise wire.Refused("borg-missing", "borg is not in {}".format(":".join(children.SEARCH_PATH)))
    return path


def _check_socket(path: str) -> str:
    """The tunnel's socket, in a directory that belongs to root or to the account that asked."""
    match = _SOCKET.fullmatch(path)
    if not match:
        raise wire.Refused("invalid", "this is no socket of ours: {!r}".format(path))
    owners = {0, os.geteuid(), int(os.environ.get("SUDO_UID", os.geteuid()))}
    directory = os.lstat(os.path.dirname(path))
    if not stat.S_ISDIR(directory.st_mode) or directory.st_uid not in owners or directory.st_mode & 0o077:
        raise wire.Refused("unsafe", "{} is not a private directory".format(os.path.dirname(path)))
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise wire.Refused("unsafe", "{} is not a socket".format(path))
    return path


def _connection(link: Dict[str, Any], log: int) -> Tuple[bool, Dict[str, str]]:
    """How borg reaches the repository: (is it a local path, environment).

    ssh writes its own words to the file `log`: borg may miss them on a stream when the connection
    ends, and says only that it was closed.
    """
    mode = validate.choice(link.get("mode"), "link mode", ["socket", "direct", "local"])
    if mode == "local":
        if os.environ.get("SUDO_UID", "0") != "0":
            # Links inside a repository of the account that asks would make root's borg write anywhere.
            raise wire.Refused("invalid", "a repository by its path is for root alone")
        return True, {"BORG_RSH": "/bin/false"}
    if mode == "socket":
        path = _check_socket(validate.text(link.get("path"), "link path"))
        python = os.path.realpath(sys.executable)
        words = [python, "-I", places.this_program(), "--relay", path]
    else:
        installation = validate.text(link.get("installation"), "installation", _INSTALLATION)
        config = os.path.join(places.direct_directory(installation), "ssh_config")
        if not os.path.isfile(config):
            raise wire.Refused("missing", "direct backups are not set up here: there is no {}".format(config))
        words = [children.find("ssh") or "ssh", "-E", "/proc/{}/fd/{}".format(os.getpid(), log), "-F", config]
    return False, {"BORG_RSH": " ".join(shlex.quote(word) for word in words)}


def _environment(args: Dict[str, Any], local: bool, subcommand: str) -> Dict[str, str]:
    env = {}
    for name, value in (args.get("env") or {}).items():
        if name not in _ENVIRONMENT:
            raise wire.Refused("invalid", "environment variable not allowed: {}".format(name))
        env[name] = validate.text(value, name, _ENVIRONMENT[name])
    base = places.state_directory()
    if subcommand in ("extract", "mount") and isinstance(args.get("staging"), dict):
        # A restore reads a view, whose location is new each time: borg must not learn it for the next backup.
        base = places.restore_directory(validate.token(args["staging"].get("token")))
    # A repository has another location when it is on this machine; borg would ask which one is right.
    env["BORG_BASE_DIR"] = places.make_private(os.path.join(base, "local") if local else base)
    return children.environment(env)


def _polite(args: Dict[str, Any]) -> List[str]:
    """The words that lower our priority."""
    words: List[str] = []
    if args.get("nice") is not None:
        nice = children.find("nice")
        level = validate.number(args["nice"], "nice", 0, 19)
        words += [nice, "-n", str(level)] if nice and level else []
    if args.get("ionice") is not None:
        ionice = children.find("ionice")
        word = validate.text(args["ionice"], "ionice", re.compile(r"idle|best-effort(?::[0-7])?"))
        kind, _, level_text = word.partition(":")
        if ionice:
            words += [ionice, "-c3"] if kind == "idle" else [ionice, "-c2", "-n", level_text or "7"]
    return words


def _secret_pipe(secret: Any) -> int:
    """A descriptor that yields the passphrase once."""
    return pipes.filled(wire.raw(validate.text(secret, "passphrase", limit=1 << 14)))


def run_borg(request: wire.Request, control: wire.Control) -> Tuple[Optional[int], Optional[int]]:
    """Run one borg command; its streams are ours, its end is the answer."""
    link = request.args.get("link")
    if not isinstance(link, dict):
        raise wire.Refused("invalid", "the request has no link")
    with tempfile.TemporaryFile() as log:
        outcome = _run(request, control, link, log.fileno())
        log.seek(0)
        wire.write_all(2, log.read(_LOG_BYTES))
    return outcome


def _run(
    request: wire.Request, control: wire.Control, link: Dict[str, Any], log: int
) -> Tuple[Optional[int], Optional[int]]:
    args = request.args
    local, connection = _connection(link, log)
    asked = producers.streams(args["streams"], request.secrets) if "streams" in args else []
    command = lines.parse(validate.texts(args.get("argv"), "argv"), local, streams=bool(asked))
    if command.subcommand == "create":
        for path in command.paths:
            policy.check_read(wire.raw(path), real=True)
    if asked:
        with streams.Pipes(validate.token(args.get("token")), asked) as pipes:
            return _run_fed(request, control, _with_pipes(command, asked), local, connection, pipes, asked)
    if command.subcommand == "import-tar":
        return _run_tar(request, control, command, local, connection)
    if "views" in args:
        _enter_views(args, command, local)
    return _start(request, command, local, connection, None).wait(control)


def _enter_views(args: Dict[str, Any], command: lines.Command, local: bool) -> None:
    """What is read from now on is what snapshots hold."""
    if command.subcommand != "create":
        raise wire.Refused("invalid", "views are for create")
    needed = views.needed(places.state_directory(), args["link"].get("path"), command.repository if local else None)
    views.enter(views.check(args["views"], needed))


def _run_fed(
    request: wire.Request,
    control: wire.Control,
    command: lines.Command,
    local: bool,
    connection: Dict[str, str],
    pipes: streams.Pipes,
    asked: List[streams.Stream],
) -> Tuple[Optional[int], Optional[int]]:
    """Borg with a producer beside it. Raises Refused when a stream is not whole: then there is no archive of it."""
    tool = _start(request, command, local, connection, pipes.path)
    feeder = streams.Feeder(pipes, asked, tool, control)
    feeder.start()
    try:
        outcome = tool.wait(control)
    finally:
        feeder.finish()
    _tell(feeder.done)
    if feeder.failed is not None and not control.is_set():
        stream, reason = feeder.failed
        if reason != streams.NOT_READ or _made_an_archive(outcome[0]):
            raise wire.Refused("stream", reason, stream=wire.shown(stream.name), what=stream.producer.what)
    return outcome


def _run_tar(
    request: wire.Request, control: wire.Control, command: lines.Command, local: bool, connection: Dict[str, str]
) -> Tuple[Optional[int], Optional[int]]:
    """`import-tar` with what `feed` asks for as its input. Raises Refused when it is not whole."""
    if not isinstance(request.args.get("feed"), dict):
        raise wire.Refused("invalid", "the request has no feed")
    feed = feeding.Feed(request.args["feed"], request.secrets)
    source, sink = os.pipe()
    try:
        tool = _start(request, command, local, connection, None, stdin=source)
    finally:
        os.close(source)
    feeder = feeding.TarFeeder(feed, sink, tool, control)
    feeder.start()
    try:
        outcome = tool.wait(control)
    finally:
        feeder.finish()
    _tell(feeder.done)
    if feeder.failed is not None and not control.is_set():
        if feeder.failed != streams.NOT_READ or _made_an_archive(outcome[0]):
            raise wire.Refused("stream", feeder.failed, what=feed.producer.what)
    return outcome


def _tell(done: List[Dict[str, Any]]) -> None:
    """One line of JSON on standard error for each stream that is whole, among borg's own."""
    for row in done:
        wire.write_all(2, json.dumps(dict(row, type="phpborg_stream")).encode() + b"\n")


def _made_an_archive(code: Optional[int]) -> bool:
    """0, or a warning of old (1) or new kind (100 to 127)."""
    return code is not None and (code in (0, 1) or 100 <= code <= 127)


def _with_pipes(command: lines.Command, asked: List[streams.Stream]) -> lines.Command:
    """Pipes are read as files; nothing else is named beside them."""
    names = [wire.shown(stream.name) for stream in asked]
    return command._replace(options=[*command.options, "--read-special"], paths=names)


def _start(
    request: wire.Request,
    command: lines.Command,
    local: bool,
    connection: Dict[str, str],
    folder: Optional[str],
    stdin: int = subprocess.DEVNULL,
    **streams: int,
) -> children.Tool:
    """Borg, in the staging directory of a restore or in `folder`."""
    args = request.args
    directory = None if folder is None else os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if command.subcommand == "extract" and not {"--stdout", "--dry-run"} & set(command.options):
        directory = staging.open_staging(args.get("staging"))
    borg = find_borg()
    env = dict(_environment(args, local, command.subcommand), **connection)
    env["BORG_DISPLAY_PASSPHRASE"] = "no"
    if directory is not None and folder is None:
        # Borg's own temporary files would otherwise be part of what is restored.
        env["TMPDIR"] = env["BORG_BASE_DIR"]
        needed = [os.fsencode(env["BORG_BASE_DIR"]), *([command.repository] if local else [])]
        directory = confine.extraction(directory, staging.path_of(args["staging"]), needed)
    fds: List[int] = []
    try:
        if request.secrets.get("passphrase") is not None:
            fds = [_secret_pipe(request.secrets["passphrase"])]
            env["BORG_PASSPHRASE_FD"] = str(fds[0])
        words = [*_polite(args), borg, *lines.command_line(command, local)]
        return children.Tool(words, env, fds, directory, stdin=stdin, **streams)
    finally:
        for descriptor in fds + ([directory] if directory is not None else []):
            os.close(descriptor)


def reader(request: wire.Request, token: str, log: int) -> Callable[[], children.Tool]:
    """Starts `extract --stdout` of one file, its output ours to read, as often as it is called. Raises Refused."""
    link = request.args.get("link")
    if not isinstance(link, dict):
        raise wire.Refused("invalid", "the request has no link")
    local, connection = _connection(link, log)
    command = lines.parse(validate.texts(request.args.get("argv"), "argv"), local)
    if command.subcommand != "extract" or "--stdout" not in command.options:
        raise wire.Refused("invalid", "what is read here comes from extract --stdout")
    if len(command.paths) != 1 or not command.paths[0].startswith("pp:"):
        raise wire.Refused("invalid", "one file is read at a time, named as pp:NAME")
    # The view of a restore has another location each time: borg's memory of it goes with the token.
    request.args = dict(request.args, staging={"token": token})
    return lambda: _start(request, command, local, connection, None, stdout=subprocess.PIPE)


def mounter(request: wire.Request, token: str, mountpoint: str, log: int) -> children.Tool:
    """Borg as it serves one archive at a directory of ours; what it says goes to `log`. Raises Refused."""
    link = request.args.get("link")
    if not isinstance(link, dict):
        raise wire.Refused("invalid", "the request has no link")
    local, connection = _connection(link, log)
    command = lines.parse(validate.texts(request.args.get("argv"), "argv"), local)
    if command.subcommand != "mount":
        raise wire.Refused("invalid", "a session mounts an archive")
    # One process, ours to watch, that ends with us; only root looks into the archive itself.
    command = command._replace(options=[*command.options, "--foreground"], paths=[mountpoint])
    request.args = dict(request.args, staging={"token": token})
    return _start(request, command, local, {**connection, **_MOUNT_MEMORY}, None, stdout=log, stderr=log)
