"""From an engine's recipe to what the helper is asked: the request of one Instant Recovery session, and its secrets.

Pure: what the page shows of a session and what is carried out come from the same recipe.
"""

from __future__ import annotations

import os
import secrets as random
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from recovery.engines import find
from recovery.engines.base import LOGIN_FILE, RUN, USER, File, Found, Product, Recipe, Step
from recovery.errors import CannotStart
from recovery.services import adminer

ETC = "/phpborg/etc"
_PASSWORD_LETTERS = string.ascii_letters + string.digits
_PASSWORD_LENGTH = 24
_STAGE_SECONDS = 3600
# Ports as they were promised to administrators; each product looks for the first free one from its own on.
FIRST_PORT = {
    Product.POSTGRESQL: 15432,
    Product.MYSQL: 13306,
    Product.MARIADB: 13306,
    Product.MONGODB: 37017,
    Product.ELASTICSEARCH: 19200,
    Product.OPENSEARCH: 19200,
}
_PORTS = 200
_NOBODY = 65534


@dataclass(frozen=True)
class Login:
    """The account that exists in the session alone. `statements` make it; none of this is ever shown in a plan."""

    name: str
    password: str = field(repr=False)
    statements: bytes = field(repr=False)


def new_password() -> str:
    """Letters and digits: it is typed at 3 a.m., and pasted into connection strings."""
    return "".join(random.choice(_PASSWORD_LETTERS) for _ in range(_PASSWORD_LENGTH))


@dataclass(frozen=True)
class Client:
    """How a command in the container asks the server: programs, words before the query, and its file of secrets."""

    programs: tuple[str, ...]
    words: tuple[str, ...]
    file: str
    environment: Mapping[str, str] = field(default_factory=dict)


def client(found: Found) -> Client | None:
    """None for a product that is asked without a program: in HTTP, or in MongoDB's protocol."""
    if found.product == Product.POSTGRESQL:
        versions = (f"/usr/lib/postgresql/{found.version}/bin/psql", f"/usr/pgsql-{found.version}/bin/psql")
        words = ("-XAtq", "-h", RUN, "-U", USER, "-d", "postgres", "-c")
        return Client(("/usr/local/bin/psql", *versions), words, ".pgpass", {"PGPASSFILE": f"{RUN}/.pgpass"})
    if found.product in (Product.MYSQL, Product.MARIADB):
        names = ("mariadb", "mysql") if found.product == Product.MARIADB else ("mysql",)
        programs = tuple(f"{folder}/{name}" for name in names for folder in ("/usr/bin", "/usr/local/mysql/bin"))
        return Client(programs, (f"--defaults-file={RUN}/client.cnf", "-N", "-B", "-e"), "client.cnf")
    return None


def _client_file(found: Found, login: Login) -> str:
    if found.product == Product.POSTGRESQL:
        return f"*:*:*:{login.name}:{login.password}\n"
    return f'[client]\nuser={login.name}\npassword="{login.password}"\nsocket={RUN}/mysql.sock\n'


@dataclass(frozen=True)
class Asked:
    """A request of the verb `instant` without its token, engine, link and archive."""

    args: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)


def ask(found: Found, recipe: Recipe, image: str, login: Login, *, address: str = "127.0.0.1") -> Asked:
    """Raises CannotStart for a recipe that needs what a session cannot give (yet)."""
    way = _listening(found, recipe)
    layers = _Layers(recipe)
    asking = client(found)
    secrets = {"password": login.password}
    if asking is not None:
        secrets = {"login": login.statements.decode("ascii"), "client": _client_file(found, login)}
    elif "port" in way:
        way["door"] = {"name": login.name, "password": "password", "read_only": recipe.read_only_by != ""}
    else:
        secrets["login"] = login.statements.decode("ascii")
    first = FIRST_PORT[found.product]
    return Asked(
        args={
            "action": "serve",
            "image": image,
            "user": _account(recipe.user),
            "memory": max(recipe.memory_bytes, settings.RECOVERY_MEMORY_MIB << 20),
            "environment": {**recipe.environment, **(asking.environment if asking else {})},
            "layers": [{"name": name, "source": os.fsdecode(path)} for name, path, _target in layers.rows],
            "mounts": [{"layer": name, "at": target} for name, _path, target in layers.rows],
            "stages": [_stage(number, step, recipe, layers, asking) for number, step in enumerate(recipe.steps)],
            **way,
            "address": address,
            "ports": [first, first + _PORTS - 1],
        },
        secrets=secrets,
    )


def _listening(found: Found, recipe: Recipe) -> dict[str, Any]:
    """A socket in the run directory, or a port of the container's own loopback."""
    kind, _, place = recipe.listen.partition(":")
    address, _, port = place.partition(":")
    if recipe.steps and not recipe.steps[-1].ends:
        if kind == "unix" and os.path.dirname(place) == RUN:
            return {"socket": os.path.basename(place)}
        if kind == "tcp" and address == "127.0.0.1":
            return {"port": int(port)}
    raise CannotStart(recipe.listen, path=os.fsdecode(found.path))


def _account(user: str) -> list[int]:
    """As archived, but never root's: the layers show everything as this account's, so any number will do."""
    uid, _, gid = user.partition(":")
    return [int(uid) or _NOBODY, int(gid) or int(uid) or _NOBODY]


def request(
    found: Found, image: str, *, read_only: bool, with_adminer: bool = True, more: bytes = b""
) -> tuple[Asked, Login]:
    """The request for a database with a login of its own, and Adminer beside it. Raises CannotStart.

    `more` follows the statements that make the login.
    """
    engine, password = find.engine_of(found), new_password()
    login = Login(USER, password, engine.login(found, name=USER, password=password, read_only=read_only) + more)
    asked = ask(found, engine.start(found, read_only=read_only), image, login)
    beside = adminer.beside(found.product, login.name, login.password) if with_adminer else None
    if beside is not None:
        asked = Asked({**asked.args, "adminer": beside.args}, {**asked.secrets, **beside.secrets})
    return asked, login


class _Layers:
    """Names for the folders of the archive, and where in the container each one is."""

    def __init__(self, recipe: Recipe) -> None:
        names = ["data", *(f"part-{number}" for number in range(1, len(recipe.mounts)))]
        self.rows = [(name, mount.path, mount.target) for name, mount in zip(names, recipe.mounts, strict=True)]
        self._places = [*((target, name) for name, _path, target in self.rows), (RUN, "run"), (ETC, "etc")]

    def of(self, path: str) -> tuple[str, str]:
        """(layer, path in it) of an absolute path of the container. The deepest mount is the one that is seen."""
        for target, name in sorted(self._places, key=lambda place: -len(place[0])):
            if path.startswith(target + "/"):
                return name, path[len(target) + 1 :]
        raise CannotStart(path, path="")


def _stage(number: int, step: Step, recipe: Recipe, layers: _Layers, asking: Client | None) -> dict[str, Any]:
    files = [_file(file, layers) for file in step.files]
    if number == 0:
        files += [{"layer": "data", "path": os.fsdecode(name), "remove": True} for name in recipe.hide]
    if number == 0 and asking is not None:
        files.append({"layer": "run", "path": asking.file, "secret": "client", "mode": 0o600})
    if step.login == "file":
        layer, path = layers.of(LOGIN_FILE)
        files.append({"layer": layer, "path": path, "secret": "login", "mode": 0o400})
    stage: dict[str, Any] = {
        "programs": list(step.programs),
        "argv": list(step.argv),
        "files": files,
        "seconds": _STAGE_SECONDS,
        "ends": step.ends,
        "ready": list(_questions(step, asking) if recipe.product != Product.MONGODB else _commands(step)),
    }
    if step.login == "stdin":
        stage["stdin"] = "login"
    return stage


def _questions(step: Step, asking: Client | None) -> Iterator[dict[str, Any]]:
    if step.ready is not None:
        yield _question(step.ready.query, step.ready.answer, asking)
    if step.prepared:
        if asking is None:
            raise CannotStart(step.prepared, path="")
        yield {"programs": list(asking.programs), "argv": list(asking.words), "prepared": step.prepared}
    for proof in step.settled:
        yield _question(proof.query, proof.answer, asking)
    for query in step.after:
        yield _question(query, None, asking)


def _question(query: str, answer: str | None, asking: Client | None) -> dict[str, Any]:
    if asking is None:
        method, path, *body = query.split(" ", 2)
        return {"http": method, "path": path, "body": "".join(body), "answer": answer}
    return {"programs": list(asking.programs), "argv": [*asking.words, query], "answer": answer}


def _commands(step: Step) -> Iterator[dict[str, Any]]:
    """Of MongoDB. Our login is made once it answers; later one of its collections is read by it, too."""
    account = {"login": {"name": USER, "password": "password"}, "counts": True}
    for proof in [] if step.ready is None else [step.ready]:
        yield {"mongo": [proof.query], "holds": proof.answer, **(account if proof.login else {})}
    if step.login == "client":
        yield {"mongo": "login", "final": True}
    for proof in step.settled:
        yield {"mongo": [proof.query], "holds": proof.answer, "final": True}


def _file(file: File, layers: _Layers) -> dict[str, Any]:
    layer, path = layers.of(file.path)
    return {"layer": layer, "path": path, "text": file.content.decode("utf-8", "surrogateescape"), "mode": file.mode}
