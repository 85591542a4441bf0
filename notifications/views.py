"""The mail settings and their test."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from notifications.forms import MailForm, MailTestForm
from notifications.models import MailSettings
from phpborg.accounts.rights import Right, permission
from phpborg.tasks.models import Task
from phpborg.tasks.queue import enqueue

TEST_SECONDS = 60


@require_http_methods(["GET", "POST"])
@permission(Right.ADMINISTER)
def mail_settings(request: HttpRequest) -> HttpResponse:
    """Look at and change how mail leaves."""
    row = MailSettings.load()
    form = MailForm(request.POST or None, instance=row)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("The mail settings are saved."))
        return redirect("mail-settings")
    context = {
        "form": form,
        "test": MailTestForm(initial={"address": getattr(request.user, "email", "")}),
        "has_password": bool(row.password),
        "last_tests": Task.objects.filter(kind="mail_test")[:5],
    }
    return render(request, "notifications/mail.html", context, status=422 if form.errors else 200)


@require_POST
@permission(Right.ADMINISTER)
def mail_test(request: HttpRequest) -> HttpResponse:
    """Queue a test with the stored settings and show its task."""
    form = MailTestForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Write a mail address for the test."))
        return redirect("mail-settings")
    address = form.cleaned_data["address"]
    task = enqueue(
        "mail_test",
        params={"address": address},
        subject=address,
        by=request.user,
        deadline_seconds=TEST_SECONDS,
    )
    return redirect(task)
