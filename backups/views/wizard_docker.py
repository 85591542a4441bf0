"""The wizard's details of a Docker job: what is taken, what lies outside, how containers are kept still."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from backups.forms.wizard_docker import ALL, BUT, LISTS, ONLY, DockerForm, to_value
from backups.models import JobDraft
from backups.services import docker_offers, drafts
from backups.services.docker_offers import Entry, StillEntry
from backups.sources.docker_config import DUMP, NONE, PAUSE, STOP, WAYS
from backups.views.wizard_frame import forward, frame, look, look_context
from phpborg.ui.answers import page
from servers.capabilities.docker import Docker


def docker_page(request: HttpRequest, draft: JobDraft) -> HttpResponse:
    """Each button sends the whole form, so nothing ticked is lost."""
    context = look_context(drafts.server_of(draft))
    if request.method != "POST":
        return _page(request, draft, _unbound(draft), context)
    form = DockerForm(request.POST)
    if "look" in request.POST or "refresh" in request.POST:
        _keep(draft, form.source())
        return (
            look(request, draft, "what") if "look" in request.POST else _page(request, draft, _unbound(draft), context)
        )
    if form.is_valid():
        _keep(draft, form.cleaned_data["source"], following="where")
        return forward(request, draft, "where")
    _keep(draft, form.source())
    return _page(request, draft, form, context, status=422)


def _keep(draft: JobDraft, source: dict[str, Any], following: str = "") -> None:
    drafts.save_step(draft=draft, step="what", answers={"source_kind": "docker", "source": source}, following=following)


def _unbound(draft: JobDraft) -> DockerForm:
    return DockerForm(initial=DockerForm.initial_of(drafts.source_of_draft(draft)))


def _page(
    request: HttpRequest, draft: JobDraft, form: DockerForm, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    report = context["report"]
    offer = docker_offers.engine_offer(report)
    docker = report.docker if report is not None and offer is not None and offer.possible else None
    shown = frame(
        draft,
        "what",
        **context,
        form=form,
        offer=offer,
        docker=docker,
        config=form.data if form.is_bound else form.initial,
        lists=[_list(form, name, docker) for name in LISTS],
        way=form["way"].value() or NONE,
        way_choices=[(name, *WAYS[name]) for name in (NONE, PAUSE, STOP)],
        stills=_stills(form, docker),
        has_dump=bool(docker and any(one.engine for one in docker.containers)),
        dump_title=WAYS[DUMP][0],
        dump_words=WAYS[DUMP][1],
        images=form["images"].value(),
        images_bytes=docker_offers.images_bytes(docker) if docker else None,
    )
    return page(request, "backups/wizard/docker.html", shown, status=status)


def _list(form: DockerForm, name: str, docker: Docker | None) -> dict[str, Any]:
    """One list: its ways to choose, and its rows. What was chosen and is gone stays in sight."""
    known: Sequence[Entry] = getattr(docker_offers, name)(docker) if docker else ()
    chosen, mode = form.chosen(name), form.mode(name)
    gone = [one for one in chosen if one not in {entry.name for entry in known}]
    usual = mode == ALL and name == "binds"
    return {
        "name": name,
        "title": _titles()[name],
        "mode": mode,
        # Leaving places out is for the shell; a job that does so keeps it.
        "modes": [one for one in _modes(name) if (name, one[0]) != ("binds", BUT) or mode == BUT],
        # Before anything was chosen of places outside, what is read by default is ticked.
        "rows": [(to_value(one.name), one, (not one.reason) if usual else one.name in chosen) for one in known],
        "gone": [(to_value(one), one) for one in gone],
        "errors": form.errors.get(f"{name}_mode", ()),
    }


def _titles() -> dict[str, str]:
    return {
        "projects": _("Which Compose projects?"),
        "containers": _("Which containers of no project?"),
        "volumes": _("Which volumes?"),
        "binds": _("What lies outside of the projects' directories?"),
    }


def _modes(name: str) -> list[tuple[str, str, str]]:
    """(mode, title, text) of one list."""
    only, but = _("Only those that I tick"), _("All but those that I tick")
    gone = _("A backup fails when something of it does not exist any more.")
    later = _("Also what is made later.")
    if name == "containers":
        return [(ALL, _("All"), later), (ONLY, only, gone)]
    if name == "volumes":
        words = _("All volumes of what is chosen above; where everything is chosen, those that nobody uses as well.")
        return [(ALL, _("All that belong to it"), words), (ONLY, only, gone), (BUT, but, later)]
    if name == "binds":
        words = _("What containers see of the machine, without sockets, the system's own files and the engine's data.")
        return [
            (ALL, _("What makes sense"), words),
            (ONLY, only, gone),
            (BUT, _("The same, but not those that I tick"), ""),
        ]
    return [(ALL, _("All"), later), (ONLY, only, gone), (BUT, but, later)]


def _stills(form: DockerForm, docker: Docker | None) -> list[dict[str, Any]]:
    """One row for each container's key, also for one that was chosen and is gone."""
    ways = form.ways()
    known = docker_offers.still(docker) if docker else []
    gone = [
        StillEntry(key, _("was not found"), (way,))
        for key, way in ways.items()
        if key not in {one.key for one in known}
    ]
    return [
        {
            "name": f"way:{to_value(one.key)}",
            "entry": one,
            "chosen": ways.get(one.key, ""),
            "choices": [(way, WAYS[way][0]) for way in one.ways if way in WAYS],
        }
        for one in (*known, *gone)
    ]
