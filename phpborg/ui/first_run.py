"""The first-run wizard: language, mail, pool, server, backup. Each step can be skipped and taken up again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST

from backups.models import BackupJob, Repository, StoragePool
from backups.services import jobs, pools, repositories, runs
from backups.services.jobs import JobDefinition
from notifications.forms import MailForm
from notifications.models import MailSettings
from phpborg.accounts.models import User
from phpborg.accounts.rights import Right, permission
from phpborg.errors import PhpBorgError, describe
from phpborg.tasks import live
from phpborg.ui.first_run_forms import BackupForm, PoolForm, WelcomeForm
from phpborg.ui.first_start import EVERY_NIGHT, default_pool_path
from phpborg.ui.models import Installation
from servers.models import Server
from servers.services import enrol, setup

STEPS: dict[str, str | Promise] = {
    "welcome": _("Language and time"),
    "mail": _("Mail"),
    "pool": _("Storage"),
    "server": _("Server"),
    "backup": _("Backup"),
}
Answer = HttpResponse | None


def _done(step: str) -> bool:
    """Whether a step has nothing left to do."""
    answers: dict[str, Callable[[], bool]] = {
        "welcome": lambda: bool(Installation.load().time_zone),
        "mail": lambda: MailSettings.load().enabled,
        "pool": StoragePool.objects.exists,
        "server": lambda: Server.objects.ready().exists(),
        "backup": BackupJob.objects.exists,
    }
    return answers[step]()


def _stations() -> list[dict[str, Any]]:
    return [
        {"key": step, "label": label, "url": reverse("first-run-step", args=[step]), "done": _done(step)}
        for step, label in STEPS.items()
    ]


def _next(step: str) -> HttpResponse:
    names = list(STEPS)
    position = names.index(step) + 1
    return redirect("first-run-step", names[position]) if position < len(names) else redirect("first-run")


@require_http_methods(["GET"])
@permission(Right.ADMINISTER)
def first_run(request: HttpRequest) -> HttpResponse:
    """Where things stand: what is done, what was left out."""
    installation = Installation.load()
    stations = _stations()
    following = next((row for row in stations if not row["done"]), None)
    context = {"stations": stations, "following": following, "installation": installation}
    return render(request, "ui/first_run/overview.html", context)


@require_POST
@permission(Right.ADMINISTER)
def first_run_finish(request: HttpRequest) -> HttpResponse:
    """The wizard is over; it does not offer itself any more."""
    Installation.load()
    Installation.objects.filter(first_run_finished_at__isnull=True).update(first_run_finished_at=timezone.now())
    return redirect("dashboard")


@require_http_methods(["GET", "POST"])
@permission(Right.ADMINISTER)
def first_run_step(request: HttpRequest, step: str) -> HttpResponse:
    """One step: a form; saved, it leads to the next one."""
    if step not in STEPS:
        raise Http404
    names = list(STEPS)
    position = names.index(step)
    form, extra, answer = _VIEWS[step](request)
    if answer:
        return answer
    context = {
        "form": form,
        "step": step,
        "title": STEPS[step],
        "stations": _stations(),
        "before": names[position - 1] if position else "",
        "after": names[position + 1] if position + 1 < len(names) else "",
        **extra,
    }
    status = 422 if form is not None and form.errors else 200
    return render(request, f"ui/first_run/{step}.html", context, status=status)


Step = tuple[Any, dict[str, Any], Answer]


def _welcome(request: HttpRequest) -> Step:
    assert isinstance(request.user, User)
    installation = Installation.load()
    form = WelcomeForm.of(installation, request.user.language, request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return form, {}, None
    installation.time_zone = form.cleaned_data["time_zone"]
    installation.application_name = form.cleaned_data["application_name"]
    installation.save()
    request.user.language = form.cleaned_data["language"]
    request.user.save(update_fields=["language", "is_staff", "is_superuser"])
    translation.activate(request.user.language)
    return form, {}, _next("welcome")


def _mail(request: HttpRequest) -> Step:
    form = MailForm(request.POST or None, instance=MailSettings.load())
    if request.method != "POST" or not form.is_valid():
        return form, {}, None
    form.save()
    return form, {}, _next("mail")


def _pool(request: HttpRequest) -> Step:
    known = {"name": _("Main"), "path": default_pool_path()}
    form = PoolForm(request.POST or None, initial=known)
    extra = {"pools": StoragePool.objects.all()[:20]}
    if request.method != "POST" or not form.is_valid():
        return form, extra, None
    try:
        pools.create_pool(name=form.cleaned_data["name"], path=form.cleaned_data["path"])
    except PhpBorgError as error:
        form.add_error("path", describe(error.code, error.facts).title)
        return form, extra, None
    return form, extra, _next("pool")


def _server(request: HttpRequest) -> Step:
    """This machine with one click; others by their own wizard."""
    local = Server.objects.filter(kind=Server.Kind.LOCAL).first()
    if request.method == "POST":
        local = enrol.add_localhost()
        if not local.is_ready and setup.active_setup(local) is None:
            setup.enqueue_setup(server=local, by=request.user)
        return None, {}, redirect("first-run-step", "server")
    task = setup.last_setup(local) if local else None
    extra = {
        "local": local,
        "row": task,
        "task": live.current([task])[0] if task and not (local and local.is_ready) else None,
        "servers": Server.objects.order_by("name")[:20],
    }
    return None, extra, None


def _backup(request: HttpRequest) -> Step:
    servers = [(str(server.pk), server.name) for server in Server.objects.ready().order_by("name")[:200]]
    pool = StoragePool.objects.order_by("-is_default").first()
    form = BackupForm(request.POST or None, servers=servers)
    extra = {"pool": pool, "ready": bool(servers), "jobs": BackupJob.objects.select_related("server")[:20]}
    if request.method != "POST" or pool is None or not form.is_valid():
        return form, extra, None
    try:
        repository = Repository.objects.live().first() or repositories.create_repository(
            pool=pool, name=pool.name, passphrase=repositories.generate_passphrase()
        )
        server = Server.objects.get(pk=form.cleaned_data["server"])
        job = jobs.create_job(
            definition=JobDefinition(
                name=f"{server.name} {form.cleaned_data['path']}",
                server=server,
                repository=repository,
                source={"paths": [form.cleaned_data["path"]], "excludes": [], "one_file_system": False},
                cron=EVERY_NIGHT,
                zone=Installation.load().zone_name,
            ),
            by=request.user,
        )
    except PhpBorgError as error:
        form.add_error("path", str(error))
        return form, extra, None
    return form, extra, redirect(runs.start_backup(job=job, by=request.user))


_VIEWS: dict[str, Callable[[HttpRequest], Step]] = {
    "welcome": _welcome,
    "mail": _mail,
    "pool": _pool,
    "server": _server,
    "backup": _backup,
}
