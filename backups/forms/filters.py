"""The filters of the lists of jobs and archives: a wrong word in an address filters nothing."""

from __future__ import annotations

import uuid
from datetime import date
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from backups.services.archives import UNGRADED
from phpborg.tasks.states import State

RUNNING, NEVER = "running", "never"
JOB_STATES = [
    ("", _("All")),
    (RUNNING, _("Running")),
    (NEVER, _("Never run")),
    *((state.value, state.label) for state in (State.SUCCESS, State.NOTES, State.INCOMPLETE, State.FAILED)),
    *((state.value, state.label) for state in (State.CANCELLED, State.LOST)),
]
GRADES = [
    ("", _("All")),
    *((state.value, state.label) for state in (State.SUCCESS, State.NOTES, State.INCOMPLETE)),
    (UNGRADED, _("Made outside of phpBorg")),
]
PLACES = [
    ("", _("All")),
    ("present", _("In the repository")),
    ("missing", _("Gone from Borg")),
]


class JobFilterForm(forms.Form):
    """Text, server, last outcome, switched on or off."""

    q = forms.CharField(label=_("Search"), required=False, max_length=80)
    server = forms.UUIDField(label=_("Server"), required=False)
    state = forms.ChoiceField(label=_("Last outcome"), required=False, choices=JOB_STATES)
    enabled = forms.ChoiceField(
        label=_("Schedule"), required=False, choices=[("", _("All")), ("yes", _("Enabled")), ("no", _("Disabled"))]
    )


class ArchiveFilterForm(forms.Form):
    """Text, server, job, repository, outcome, dates, place."""

    q = forms.CharField(label=_("Search"), required=False, max_length=200)
    server = forms.UUIDField(label=_("Server"), required=False)
    job = forms.UUIDField(label=_("Job"), required=False)
    repository = forms.UUIDField(label=_("Repository"), required=False)
    grade = forms.ChoiceField(label=_("Outcome"), required=False, choices=GRADES)
    since = forms.DateField(label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    place = forms.ChoiceField(label=_("Place"), required=False, choices=PLACES)


def known(form: forms.Form) -> dict[str, Any]:
    """The values that are valid; ids as text, nothing for the rest."""
    form.is_valid()
    values = {name: form.cleaned_data.get(name) or "" for name in form.fields}
    # At the ends of the calendar a time zone leads out of it.
    values.update({name: "" for name, day in values.items() if isinstance(day, date) and not 1970 <= day.year <= 9000})
    return {name: str(value) if isinstance(value, uuid.UUID) else value for name, value in values.items()}
