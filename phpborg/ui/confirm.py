"""Asking before what cannot be undone; the server checks the answer whether a dialog asked or not.

answer = ask(request, Confirmation(title=…, text=…, action=…, back=server.get_absolute_url(), typed=server.name))
if answer:
    return answer
"""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise

OWN_FIELDS = ("csrfmiddlewaretoken", "confirmed", "typed")


@dataclass(frozen=True)
class Confirmation:
    """A question: what will happen, the words on the button, where “Cancel” goes.

    `typed` is a name that must be typed; `tone` is bad (destroys), warn or info (harmless).
    """

    title: str | Promise
    text: str | Promise
    action: str | Promise
    back: str
    typed: str = ""
    tone: str = "bad"


def ask(request: HttpRequest, confirmation: Confirmation) -> HttpResponse | None:
    """None when this POST is confirmed, else the page that asks; the form's other fields come along."""
    confirmed = request.method == "POST" and request.POST.get("confirmed") == "1"
    typed = request.POST.get("typed", "")
    if confirmed and (not confirmation.typed or typed == confirmation.typed):
        return None
    carried = [(name, value) for name, values in request.POST.lists() if name not in OWN_FIELDS for value in values]
    context = {"confirmation": confirmation, "carried": carried, "wrong": confirmed}
    return render(request, "components/confirm_page.html", context, status=422 if confirmed else 200)
