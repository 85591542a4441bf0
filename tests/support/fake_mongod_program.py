#!/usr/bin/python3
"""A fake of the program `mongod` for a container (no real one can be had here): its options, protocol, accounts, roles.

Its documents, accounts and what is only in its oplog lie in one file of its dbPath. It writes that file when it is
ended with SIGTERM, as the real one makes its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from tests.transport.fake_mongod import FakeMongod, Told

STATE = "fake-mongod.json"
READS = {"listDatabases", "listCollections", "find", "count", "getMore"}
ROLES = {"root": None, "readAnyDatabase": READS, "clusterMonitor": {"listDatabases"}, "read": READS}
PARAMETERS = {
    "ttlMonitorEnabled",
    "diagnosticDataCollectionEnabled",
    "enableLocalhostAuthBypass",
    "recoverFromOplogAsStandalone",
    "takeUnstableCheckpointOnShutdown",
    "skipShardingConfigurationChecks",
}
BATCH = 2


class Refused(Exception):
    """What it does not carry out: code and words."""


class Server(FakeMongod):
    """It listens at a socket."""

    address_family = socket.AF_UNIX

    def __init__(self, path: str, state: dict[str, Any], *, auth: bool, bypass: bool, replays: bool) -> None:
        self.state, self.auth, self.bypass, self.read_only = state, auth, bypass, replays
        self.cursors: dict[int, tuple[str, list[Any]]] = {}
        if replays:
            for namespace, rows in state.pop("oplog", {}).items():
                self.data(*namespace.split(".", 1)).extend(rows)
        super().__init__(mechanisms=("SCRAM-SHA-256",), address=path)
        os.chmod(path, 0o700)

    def data(self, database: str, collection: str) -> list[Any]:
        rows: list[Any] = self.state["data"].setdefault(database, {}).setdefault(collection, [])
        return rows

    def carry_out(self, name: str, document: dict[str, Any], told: Told, signed_in: bool) -> dict[str, Any]:
        if name in ("isMaster", "hello", "saslStart", "saslContinue"):
            if name == "saslStart":
                self._known(document["payload"].decode())
            return super().carry_out(name, document, told, signed_in)
        try:
            self._allowed(name, signed_in)
            return self._answer(name, document, document["$db"])
        except Refused as refusal:
            code, words = refusal.args
            return {"ok": 0.0, "errmsg": words, "code": code}

    def _known(self, text: str) -> None:
        """The next sign-in is as this account, whose password is only known here."""
        name = text.split("n=", 1)[1].split(",")[0]
        self.user, self.password = name, self.state["users"].get(name, {"pwd": "\0"})["pwd"].encode()

    def _allowed(self, name: str, signed_in: bool) -> None:
        if not self.auth or name == "ping":
            return
        if not signed_in:
            if self.bypass and not self.state["users"] and name == "createUser":
                return
            raise Refused(13, f"command {name} requires authentication")
        allowed: set[str] = {"ping"}
        for role in self.state["users"][self.user]["roles"]:
            actions = self.state["roles"][role] if role in self.state["roles"] else ROLES[role]
            if actions is None:
                return
            allowed |= set(actions)
        if name not in allowed | ({"getMore"} if "find" in allowed else set()):
            raise Refused(13, f"not authorized on admin to execute command {name}")

    def _answer(self, name: str, document: dict[str, Any], database: str) -> dict[str, Any]:
        if name == "ping":
            return {}
        if name == "listDatabases":
            return {"databases": [{"name": one, "sizeOnDisk": 4096.0} for one in ["admin", *self.state["data"]]]}
        if name == "listCollections":
            rows = [{"name": one, "type": "collection"} for one in self.state["data"].get(database, {})]
            return self._cursor(f"{database}.$cmd.listCollections", rows)
        if name == "find":
            wanted = document.get("filter", {}).items()
            rows = [row for row in self.data(database, document["find"]) if wanted <= row.items()]
            return self._cursor(f"{database}.{document['find']}", rows)
        if name == "getMore":
            namespace, rows = self.cursors.pop(document["getMore"])
            return self._cursor(namespace, rows, "nextBatch")
        if name == "count":
            users = (database, document["count"]) == ("admin", "system.users")
            return {"n": len(self.state["users"] if users else self.data(database, document["count"]))}
        if name == "validate":
            rows = self.data(database, document["validate"])
            damaged = f"{database}.{document['validate']}" in self.state.get("damaged", [])
            errors = ["Detected one or more missing index entries."] if damaged else []
            return {"valid": not damaged, "nrecords": len(rows), "errors": errors, "warnings": []}
        return self._write(name, document, database)

    def _write(self, name: str, document: dict[str, Any], database: str) -> dict[str, Any]:
        if self.read_only:
            raise Refused(20, "Cannot execute a write operation in read-only mode")
        if name == "insert":
            self.data(database, document["insert"]).extend(document["documents"])
        elif name == "delete" and document["delete"] in ("system.users", "system.roles"):
            if not self.state.get("stubborn"):
                self.state[document["delete"].removeprefix("system.")].clear()
        elif name == "createRole":
            self.state["roles"][document["createRole"]] = document["privileges"][0]["actions"]
        elif name == "createUser":
            roles = [row["role"] for row in document["roles"]]
            self.state["users"][document["createUser"]] = {"pwd": document["pwd"], "roles": roles}
        elif name == "grantRolesToUser":
            user = self.state["users"][document["grantRolesToUser"]]
            user["roles"] += [row["role"] for row in document["roles"]]
        else:
            raise Refused(59, f"no such command: '{name}'")
        return {"n": 1}

    def _cursor(self, namespace: str, rows: list[Any], batch: str = "firstBatch") -> dict[str, Any]:
        number = 0
        if rows[BATCH:]:
            number = len(self.cursors) + 71
            self.cursors[number] = (namespace, rows[BATCH:])
        return {"cursor": {batch: rows[:BATCH], "id": number, "ns": namespace}}


def main() -> int:
    """As mongod: 2 for options that it does not know, 0 after SIGTERM."""
    options = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("dbpath", "bind_ip", "unixSocketPrefix", "pidfilepath", "storageEngine", "wiredTigerCacheSizeGB"):
        options.add_argument(f"--{name}", required=True)
    options.add_argument("--port", type=int)
    options.add_argument("--setParameter", action="append", default=[])
    for name in ("auth", "noauth", "directoryperdb"):
        options.add_argument(f"--{name}", action="store_true")
    said = options.parse_args()
    set_to = dict(one.split("=", 1) for one in said.setParameter)
    path = f"{said.unixSocketPrefix}/mongodb-{said.port}.sock"
    if set(set_to) - PARAMETERS or said.bind_ip != path or said.auth == said.noauth:
        sys.stderr.write("Error parsing command line\n")
        return 2
    file = Path(said.dbpath) / STATE
    state = json.loads(file.read_text())
    Path(path).unlink(missing_ok=True)
    replays = set_to.get("recoverFromOplogAsStandalone") == "true"
    bypass = set_to.get("enableLocalhostAuthBypass", "true") == "true"
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    server = Server(path, state, auth=said.auth, bypass=bypass, replays=replays)
    signal.sigwait(ends)
    server.shutdown()
    if not replays or set_to.get("takeUnstableCheckpointOnShutdown") == "true":
        file.write_text(json.dumps(state))
    return 0


if __name__ == "__main__":
    sys.exit(main())
