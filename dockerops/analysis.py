"""What an archive holds of Docker, by the surest source: manifest or record > selection at the time > its own paths.

Everything says in `origin` how it became known. An archive without any metadata, of another host or of an engine with
another data-root is read by its paths alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from dockerops import typed
from dockerops.listing import Listing, owner_of
from dockerops.manifest import (
    LISTING,
    MANIFEST,
    RECORD,
    SELECTION,
    Bind,
    Container,
    Contents,
    Dump,
    Engine,
    Image,
    Left,
    Network,
    Project,
    Volume,
    parse,
    with_facts,
)
from dockerops.written import cleaned

_USUAL_ROOT = "/var/lib/docker"


def analyse(
    manifest: bytes | None = None, record: Mapping[str, Any] | None = None, listing: Listing | None = None
) -> Contents:
    """The contents of an archive.

    `manifest`: the bytes of manifest.json, when it has one. `record`: its `backup_config`. `listing`: of its paths; of
    one beside a manifest only the sizes are used. Raises ManifestUnreadable.
    """
    config = typed.restored(dict(record or {}))
    if manifest is not None:
        return _sized(parse(manifest), _table(config.get("docker")), listing)
    docker = _table(config.get("docker"))
    items = cleaned(_table(docker.get("actual_backed_up_items") or config.get("actual_backed_up_items")))
    paths = listing or Listing()
    if items:
        found = _recorded(items, docker, paths)
    elif config.get("source"):
        found = _selected(_table(config["source"]), paths)
    else:
        found = paths.contents()
    return with_facts(_noted(found, paths, listing is not None))


def _table(raw: Any) -> dict[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _rows(raw: Any) -> list[dict[str, Any]]:
    """Rows with a name each; a plain name is a row, too."""
    rows = [{"name": one} if isinstance(one, str) else one for one in (raw if isinstance(raw, list) else [])]
    return [one for one in rows if isinstance(one, dict)]


def _sized(contents: Contents, docker: dict[str, Any], listing: Listing | None) -> Contents:
    """The same with sizes that the manifest does not say."""
    items = _table(docker.get("actual_backed_up_items"))
    known = {str(row.get("source") or row.get("name")): row.get("size_bytes") for row in _rows(items.get("binds"))}
    sizes = {path: size for path, size in known.items() if isinstance(size, int)}
    volumes = {str(row.get("name")): row.get("size_bytes") for row in _rows(items.get("volumes"))}
    if listing is not None:
        sizes |= listing.sizes
        volumes |= {name: found.bytes for name, found in listing.volumes.items()}
        # A volume that lies elsewhere (o=bind, a plugin's) is known by its path alone.
        volumes |= {one.name: sizes[one.path] for one in contents.volumes if one.path in listing.sizes}
    return replace(
        contents,
        sizes={**contents.sizes, **sizes},
        volumes=tuple(_with_size(one, volumes.get(one.name)) for one in contents.volumes),
    )


def _with_size(one: Volume, size: Any) -> Volume:
    return replace(one, size_bytes=size) if one.size_bytes is None and isinstance(size, int) else one


def wanted_sizes(manifest: bytes | None) -> list[str]:
    """Paths whose sizes a plan wants: give them to `Listing`. Raises ManifestUnreadable."""
    if manifest is None:
        return []
    contents = parse(manifest)
    binds = [one.path for one in contents.binds if one.path]
    # Those that nobody could count in time, or that only a container could see.
    volumes = [one.path for one in contents.volumes if one.path and one.size_bytes is None]
    return sorted(
        {*binds, *volumes, *contents.config_files, *(path for one in contents.projects for path in one.paths)}
    )


def _recorded(items: dict[str, Any], docker: dict[str, Any], paths: Listing) -> Contents:
    """From the list of what was really backed up."""
    projects = tuple(_project(row, paths) for row in _rows(items.get("projects") or items.get("compose_projects")))
    names = [one.name for one in projects]
    containers = [*_rows(items.get("containers")), *_rows(items.get("standalone_containers"))]
    volumes = tuple(_volume(row, names, paths, RECORD) for row in _rows(items.get("volumes")))
    return Contents(
        engine=typed.read(Engine, docker.get("engine") or {"data_root": paths.data_root}),
        projects=tuple(_owning(one, volumes) for one in projects),
        containers=_read(Container, containers, RECORD),
        volumes=volumes,
        networks=_read(Network, _rows(items.get("networks")), RECORD),
        images=_read(Image, [{"id": "", **row} for row in _rows(items.get("images"))], RECORD),
        dumps=_read(Dump, _rows(items.get("dumps")), RECORD),
        binds=tuple(_bind(row, paths) for row in _rows(items.get("binds"))),
        config_files=_configs(items.get("configs"), paths),
        not_included=tuple(typed.read(Left, row) for row in _rows(docker.get("not_included"))),
        sizes=dict(paths.sizes),
        origin=RECORD,
    )


def _bind(row: dict[str, Any], paths: Listing) -> Bind:
    source, size = str(row.get("source") or row.get("name") or ""), row.get("size_bytes")
    known = size if isinstance(size, int) else paths.sizes.get(source)
    return Bind(source=source, path=source, size_bytes=known, origin=RECORD)


def _read(kind: Callable[..., Any], rows: Iterable[dict[str, Any]], origin: str) -> tuple[Any, ...]:
    return tuple(typed.read(kind, {**row, "origin": origin}) for row in rows)


def _project(row: dict[str, Any], paths: Listing, origin: str = RECORD) -> Project:
    directory = row.get("working_dir") or row.get("path")
    directory = directory if isinstance(directory, str) and directory.startswith("/") else None
    files, environments = paths.files_of(directory)
    found: Project = typed.read(
        Project, {"config_files": files, "environment_files": environments, **row, "origin": origin}
    )
    return replace(found, working_dir=directory, paths=found.paths or ((directory,) if directory else ()))


def _volume(row: dict[str, Any], projects: Iterable[str], paths: Listing, origin: str) -> Volume:
    found: Volume = typed.read(Volume, {**row, "origin": origin})
    seen = paths.volumes.get(found.name)
    owner = found.project or owner_of(found.name, projects)
    prefix = f"{owner}_" if owner else ""
    return replace(
        found,
        project=owner,
        logical=found.logical or (found.name[len(prefix) :] if prefix and found.name.startswith(prefix) else None),
        path=found.path or (seen.path if seen else None),
        size_bytes=found.size_bytes if found.size_bytes is not None else seen.bytes if seen else None,
        files=found.files if found.files is not None else seen.files if seen else None,
    )


def _owning(one: Project, volumes: Iterable[Volume]) -> Project:
    return replace(one, volumes=one.volumes or tuple(row.name for row in volumes if row.project == one.name))


def _configs(raw: Any, paths: Listing) -> tuple[str, ...]:
    """Paths; an older record has only the names of files."""
    told = [one for one in raw if isinstance(one, str)] if isinstance(raw, list) else []
    whole = [one if one.startswith("/") else f"/etc/docker/{one}" for one in told]
    return tuple(sorted({*whole, *paths.configs})) if told else tuple(sorted(paths.configs))


def _selected(source: dict[str, Any], paths: Listing) -> Contents:
    """From what the job asked for then, as far as the archive's paths show it; “all” is what these show."""
    seen = paths.contents()
    asked = source.get("projects")
    projects = seen.projects
    if isinstance(asked, list):
        known = {one.name: one for one in seen.projects}
        rows = [row for row in _rows(asked) if isinstance(row.get("name"), str)]
        projects = tuple(
            replace(known[row["name"]], origin=SELECTION) if row["name"] in known else _project(row, paths, SELECTION)
            for row in rows
        )
    volumes = seen.volumes
    wanted = source.get("volumes")
    if isinstance(wanted, list):
        volumes = tuple(
            one for name in wanted if isinstance(name, str) for one in [_named(name, seen, projects, paths)]
        )
    return replace(
        seen,
        projects=tuple(_owning(one, volumes) for one in projects),
        volumes=volumes,
        containers=_read(Container, _rows(source.get("containers")), SELECTION),
        origin=SELECTION,
    )


def _named(name: str, seen: Contents, projects: Iterable[Project], paths: Listing) -> Volume:
    """A volume of a selection, which may be named without its project's prefix."""
    for full in (name, *(f"{one.name}_{name}" for one in projects)):
        there = seen.volume(full)
        if there is not None:
            return replace(there, origin=SELECTION)
    return _volume({"name": name}, [one.name for one in projects], paths, SELECTION)


def _noted(contents: Contents, paths: Listing, listed: bool) -> Contents:
    """With codes of what a reader should know (`sentences.NOTES`)."""
    notes = ["listing_only" if contents.origin == LISTING else "no_manifest"]
    if listed and paths.cut:
        notes.append("listing_cut")
    if contents.engine.data_root not in ("", _USUAL_ROOT):
        notes.append("other_root")
    return replace(contents, notes=tuple(notes))


__all__ = ["MANIFEST", "Listing", "analyse", "wanted_sizes"]
