"""Every component on one page, for people who build pages. The address exists only under DEBUG."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from phpborg.tasks.states import State


class SpecimenForm(forms.Form):
    """One field of each kind, some with an error."""

    name = forms.CharField(label="Name", help_text="As people call it; it can be changed later.")
    address = forms.CharField(label="Address", initial="web-01.example.org")
    port = forms.IntegerField(label="SSH port", min_value=1, max_value=65535)
    note = forms.CharField(label="Note", required=False, widget=forms.Textarea(attrs={"rows": 3}))
    mode = forms.ChoiceField(label="Transport", choices=[("direct", "Direct"), ("tunnel", "Tunnel")])
    way = forms.ChoiceField(
        label="Way in", choices=[("key", "Paste a key"), ("password", "A password, once")], widget=forms.RadioSelect
    )
    enabled = forms.BooleanField(label="Enabled", required=False, help_text="A disabled job never starts by itself.")


def _rows() -> list[dict[str, Any]]:
    now = timezone.now()
    states = [State.SUCCESS, State.NOTES, State.INCOMPLETE, State.FAILED, State.RUNNING, State.BLOCKED, State.LOST]
    return [
        {
            "name": f"web-{index:02}.example.org",
            "state": state.value,
            "last_good": now - timedelta(minutes=7**index % 9000),
            "size": 3**index * 71_234_567,
            "files": 4**index * 311,
            "rate": 10**index * 3,
            "seconds": 5**index * 0.7,
            "used": min(index * 150 + 120, 990) * 10**9,
        }
        for index, state in enumerate(states)
    ]


STEPS = [
    {"name": "Connect", "state": "done", "text": "OpenSSH 9.2 on Debian 12", "seconds": 0.42},
    {"name": "Rights", "state": "warning", "text": "sudo asks for a password.", "remedy": "Install the sudoers file."},
    {"name": "Borg", "state": "failed", "text": "borg: command not found", "remedy": "Run: apt install borgbackup"},
    {"name": "Capabilities", "state": "running"},
    {"name": "First backup", "state": "pending"},
]
STATIONS = [
    {"key": "server", "label": "Server", "url": "#wizard"},
    {"key": "what", "label": "What", "url": "#wizard"},
    {"key": "where", "label": "Where"},
    {"key": "when", "label": "When"},
    {"key": "review", "label": "Review"},
]


@login_not_required
def styleguide(request: HttpRequest) -> HttpResponse:
    """The specimens; `?toast=1` shows the messages too."""
    form = SpecimenForm({"name": "", "port": "99999", "address": "web-01.example.org", "way": "key", "mode": "direct"})
    if request.GET.get("toast"):
        messages.success(request, "The backup of /etc was started.")
        messages.error(request, "The server's identity has changed.")
    context = {
        "form": form,
        "rows": _rows(),
        "states": [state.value for state in State],
        "tones": ["neutral", "info", "good", "warn", "bad"],
        "steps": STEPS,
        "stations": STATIONS,
        "page_obj": Paginator(range(2000), 50).get_page(request.GET.get("page", 7)),
        "values": [3, 5, 4, 8, 7, None, None, 9, 12, 8, 10, 14, 13],
        "log": [
            {"text": "2026-03-01 02:00:01  connecting to web-01"},
            {"text": "2026-03-01 02:00:04  /var/lib/app/cache: file changed while we backed it up", "tone": "warn"},
            {"text": "2026-03-01 02:00:09  /root/.secret: Permission denied", "tone": "bad"},
            {"text": "2026-03-01 02:01:40  archive found in the repository"},
        ],
        "now": timezone.now() - timedelta(minutes=5),
    }
    return render(request, "styleguide.html", context)
