"""What the engine is asked for in a step, out of the archive's manifest; pure, for any Python from 3.6 on.

The worker imports this file and the script of a restore carries it, so both ask for the same. `rewrite` is
`bodies.rewrite`; `renames` is the plan's. `op` and `params` are those of a step of the plan; the answer is what the
helper's verb gets. Raises LookupError when the manifest does not know the name.
"""

from typing import Any, Callable, Dict

_PROJECT = "com.docker.compose.project"
# Two bridges of one machine cannot have the same name.
_BRIDGE_NAME = "com.docker.network.bridge.name"
Rewrite = Callable[[Dict[str, Any], Dict[str, Any]], Dict[str, Any]]


def fill(
    op: str, params: Dict[str, Any], manifest: Dict[str, Any], renames: Dict[str, Any], rewrite: Rewrite
) -> Dict[str, Any]:
    """The parameters of one step, with the bodies that the plan does not hold."""
    if op == "create_container":
        return rewrite(_row(manifest, "containers", params["manifest_name"]), renames)
    if op == "create_volume" and not params.get("manifest_name"):
        return {"name": params["name"], "driver": "local", "options": {}, "labels": _labels(params["labels"], renames)}
    if op == "create_volume":
        return _volume(params, _row(manifest, "volumes", params["manifest_name"]), renames)
    if op == "create_network":
        return _network(params, _row(manifest, "networks", params["manifest_name"]), renames)
    return dict(params)


def _row(manifest: Dict[str, Any], kind: str, name: str) -> Dict[str, Any]:
    for row in manifest.get(kind) or []:
        if row.get("name") == name:
            return dict(row)
    raise LookupError("the manifest has no {} named {!r}".format(kind, name))


def _labels(labels: Any, renames: Dict[str, Any]) -> Dict[str, str]:
    found = dict(labels or {})
    projects = renames.get("project") or {}
    if found.get(_PROJECT) in projects:
        found[_PROJECT] = projects[found[_PROJECT]]
    return found


def _volume(params: Dict[str, Any], row: Dict[str, Any], renames: Dict[str, Any]) -> Dict[str, Any]:
    options = dict(row.get("options") or {})
    if str(options.get("device") or "").startswith("/") and "bind" in str(options.get("o") or "").split(","):
        options["device"] = moved(options["device"], renames.get("paths") or {})
    return {
        "name": params["name"],
        "driver": row.get("driver") or "local",
        "options": options,
        "labels": _labels(row.get("labels"), renames),
    }


def moved(path: str, paths: Dict[str, str]) -> str:
    """Where a path is, after the longest prefix of it was given another place."""
    for old in sorted(paths, key=len, reverse=True):
        if path == old or path.startswith(old.rstrip("/") + "/"):
            return (paths[old].rstrip("/") + path[len(old.rstrip("/")) :]) or "/"
    return path


def _network(params: Dict[str, Any], row: Dict[str, Any], renames: Dict[str, Any]) -> Dict[str, Any]:
    body = dict(row.get("create") or {})
    body["Labels"] = _labels(body.get("Labels"), renames)
    if params["name"] != params["manifest_name"]:
        body["Options"] = {key: value for key, value in (body.get("Options") or {}).items() if key != _BRIDGE_NAME}
    if params.get("free"):
        body["IPAM"] = {key: value for key, value in (body.get("IPAM") or {}).items() if key != "Config"}
    return {"name": params["name"], "body": body}
