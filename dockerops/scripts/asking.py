"""What a script of a restore asks the engine, as pairs of lines (path, body); for any Python from 3.6 on.

The script carries this file after bodies.py and filling.py. Standard input: the plan in one line, then the archive's
manifest, or what `docker inspect` says. Nothing of it is ever in a command line or a file.
"""

import json
import sys
from typing import Any, Callable, Dict, List, Tuple
from urllib.parse import quote

Ask = Tuple[str, Any]


def requests(op: str, filled: Dict[str, Any]) -> List[Ask]:
    """What is posted for a filled step."""
    if op == "create_volume":
        names = {"Name": "name", "Driver": "driver", "DriverOpts": "options", "Labels": "labels"}
        return [("/volumes/create", {key: filled[name] for key, name in names.items()})]
    if op == "create_network":
        body = {key: value for key, value in filled["body"].items() if key not in ("Scope", "Ingress")}
        return [("/networks/create", dict(body, Name=filled["name"], CheckDuplicate=True))]
    name = filled["name"]
    asked: List[Ask] = [("/containers/create?name=" + part(name), filled["body"])]
    for network, endpoint in sorted(filled["networks"].items()):
        asked.append(("/networks/{}/connect".format(part(network)), {"Container": name, "EndpointConfig": endpoint}))
    for network in filled.get("disconnect") or []:
        asked.append(("/networks/{}/disconnect".format(part(network)), {"Container": name, "Force": True}))
    return asked


def part(name: str) -> str:
    """A name as one part of an address."""
    return quote(name, safe="", errors="surrogateescape")


def reconnect(
    said: Dict[str, Any], network: str, from_inspect: Callable[[Dict[str, Any]], Dict[str, Any]]
) -> List[Ask]:
    """How a container is connected to a network again, by what `inspect` says while it still is."""
    endpoint = from_inspect(said)["networks"].get(network)
    if endpoint is None:
        return []
    path = "/networks/{}/connect".format(part(network))
    return [(path, {"Container": said["Name"].lstrip("/"), "EndpointConfig": endpoint})]


def print_requests(asked: List[Ask]) -> None:
    """A line for the path, a line for the body."""
    for path, body in asked:
        sys.stdout.write("{}\n{}\n".format(path, json.dumps(body)))


def main(
    argv: List[str],
    from_inspect: Callable[[Dict[str, Any]], Dict[str, Any]],
    rewrite: Callable[[Dict[str, Any], Dict[str, Any]], Dict[str, Any]],
    fill: Callable[..., Dict[str, Any]],
    restored: Callable[[Any], Any],
) -> None:
    """`ask NUMBER` or `reconnect NETWORK`."""
    first, _, rest = sys.stdin.buffer.read().partition(b"\n")
    said = json.loads(rest.decode("utf-8", "surrogateescape") or "{}")
    if argv[0] == "reconnect":
        print_requests(reconnect(said[0], argv[1], from_inspect))
        return
    plan = restored(json.loads(first.decode("ascii")))
    step = next(one for one in plan["steps"] if one["number"] == int(argv[1]))
    print_requests(requests(step["op"], fill(step["op"], step["params"], said, plan["renames"], rewrite)))
