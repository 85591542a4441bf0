"""Images as files that `docker load` takes: whole, with their names."""

import os
import tarfile
from typing import Any, Dict, List, Optional
from urllib.parse import urlencode

from .. import wire
from .engine import Engine, part
from .ondisk import Growing

_MARK = "manifest.json"


def look(engine: Engine, identities: List[str]) -> List[Dict[str, Any]]:
    """What `inspect` says of each. Raises Refused when one is not there."""
    found = []
    for identity in identities:
        said = engine.find("/images/{}/json".format(part(identity)))
        if said is None:
            raise wire.Refused("missing", "there is no image {} any more".format(identity))
        found.append(said)
    return found


def row(said: Dict[str, Any]) -> Dict[str, Any]:
    """A manifest's row of an image that no container has and that has no name."""
    return {"id": said["Id"], "tags": [], "digests": [], "size_bytes": said.get("Size"), "used_by": []}


def needed(inspected: List[Dict[str, Any]]) -> int:
    """The bytes that they take as files, as the engine counts their layers."""
    return sum(int(said.get("Size") or 0) for said in inspected)


def save(engine: Engine, said: Dict[str, Any], made: str, path: str) -> int:
    """Write one image; its bytes. Raises Refused with the engine's words, "no-room", and Stopped."""
    tags = [str(tag) for tag in said.get("RepoTags") or [] if "<none>" not in str(tag)]
    # By its id alone it would come back without a name.
    names = tags or [str(said["Id"])]
    target = os.path.join(made, path)
    with Growing(target, "the image {}".format(names[0])) as file:
        for chunk in engine.read("/images/get?" + urlencode([("names", name) for name in names])):
            file.write(chunk)
    problem = _problem(engine, said, tags, target)
    if problem is not None:
        raise wire.Refused("snapshot", "the image {} was not saved: {}".format(names[0], problem))
    return file.size


def _problem(engine: Engine, said: Dict[str, Any], tags: List[str], target: str) -> Optional[str]:
    """Is it whole, and is it the image that was meant? A name may have been given to another one meanwhile."""
    try:
        with tarfile.open(target, "r:") as archive:
            if _MARK not in archive.getnames():
                return "it has no {}".format(_MARK)
    except (tarfile.TarError, OSError) as error:
        return str(error)
    for tag in tags:
        now = engine.find("/images/{}/json".format(part(tag)))
        if now is None or now.get("Id") != said.get("Id"):
            return "{} became another image meanwhile".format(tag)
    return None
