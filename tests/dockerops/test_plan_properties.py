"""What holds for every plan of Docker, whatever was chosen: property tests."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dockerops import ordering
from dockerops.choice import Choice
from dockerops.errors import NothingChosen, NotPlanned
from dockerops.options import Options
from dockerops.plan import DockerPlan
from tests.dockerops import sample
from tests.dockerops.test_planning import plan


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 12), st.sets(st.integers(0, 12), max_size=4), max_size=12))
def test_every_order_has_each_name_once_and_needs_first_where_no_circle_is(table: dict[int, set[int]]):
    names = {str(one) for one in table}
    needed = {
        str(key): frozenset(str(one) for one in value if str(one) in names) - {str(key)} for key, value in table.items()
    }
    order = ordering.in_order(needed)
    assert sorted(order) == sorted(names)
    above: dict[str, set[str]] = {name: set(needed[name]) for name in names}
    for _ in names:
        for name in names:
            above[name] |= {far for near in above[name] for far in above[near]}
    for name in names:
        for one in needed[name]:
            if name not in above[one]:
                assert order.index(one) < order.index(name)


@st.composite
def choices(draw: Any) -> tuple[Choice, Options]:
    """Any choice of the sample, anywhere."""
    contents = sample.contents()

    def some(names: list[str]) -> tuple[str, ...]:
        return tuple(draw(st.lists(st.sampled_from(names), unique=True)))

    volumes = some([one.name for one in contents.volumes])
    files: dict[str, tuple[str, ...]] = {"corp_shared": ("a/b",)} if draw(st.booleans()) else {}
    choice = Choice(
        draw(st.sampled_from(("volumes", "projects", "configs", "custom"))),
        projects=some(["kiosk"]),
        volumes=volumes,
        containers=some([one.name for one in contents.containers]),
        networks=some([one.name for one in contents.networks]),
        binds=some([one.source for one in contents.binds]),
        configs=some(list(contents.config_files)),
        files=files,
    )
    placement = draw(st.sampled_from(("in_place", "other_path", "other_project")))
    path = "" if placement == "in_place" else "/else"
    options = Options(
        placement,
        path,
        "two",
        ports="none",
        create_missing=draw(st.booleans()),
        protect=draw(st.sampled_from(("aside", "archive"))),
    )
    return choice, options


@settings(max_examples=150, deadline=None)
@given(choices(), st.booleans())
def test_no_plan_touches_what_was_not_chosen(drawn: tuple[Choice, Options], is_empty: bool):
    choice, options = drawn
    there = sample.empty() if is_empty else sample.there()
    try:
        made = plan(choice, options, there)
    except (NotPlanned, NothingChosen):
        return
    chosen = _chosen_paths(choice, options)
    for step in made.steps:
        if step.op == "extract":
            for source in step.params["sources"]:
                assert any(source == path or source.startswith(f"{path}/") for path in chosen), (source, chosen)
        if step.op == "exchange" and options.placement == "other_path" and not choice.containers:
            assert step.params["target"].startswith("/else/") or "volumes" in step.params["target"]
        if step.op in ("stop_container", "rename_container", "disconnect", "start"):
            assert step.number > max([0, *(one.number for one in made.steps if one.op == "extract")])
    again = DockerPlan.from_json(json.loads(json.dumps(made.as_json())))
    assert (again, again.hash) == (made, made.hash)
    assert plan(choice, options, there).hash == made.hash
    assert not [canary for canary in sample.CANARIES if canary in made.canonical]


def _chosen_paths(choice: Choice, options: Options) -> set[str]:
    """Paths of the archive that the choice names, by hand."""
    contents = sample.contents()
    paths = {one.name: one.path or "" for one in contents.volumes}
    found: set[str] = set()
    if choice.mode in ("volumes", "custom"):
        every = choice.mode == "volumes" and not choice.volumes and not choice.files
        found |= {paths[name] for name in (paths if every else (*choice.volumes, *choice.files))}
    if choice.mode == "projects":
        found |= {"/opt/app", "/opt/shared", "/etc/app.conf"}
        found |= {one.path or "" for one in contents.volumes if one.project == "kiosk"}
    if choice.mode == "configs":
        found |= set(contents.config_files)
    if choice.mode == "custom":
        found |= {*choice.binds, *choice.configs, *(["/opt/app"] if choice.projects else [])}
        made = contents.containers if choice.projects else ()
        used = {one.name for one in made if one.project == "kiosk"} | set(choice.containers)
        if options.create_missing:
            found |= {
                mount.source or ""
                for one in contents.containers
                if one.name in used
                for mount in one.mounts
                if mount.name
            }
    return found
