"""Small answers that the views of every room share."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme

from phpborg.accounts.rights import Right
from phpborg.errors import PhpBorgError, describe


def page(request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    """A page that knows which buttons this person may press."""
    user: Any = request.user
    frame = {"can_operate": user.may(Right.OPERATE), "can_administer": user.may(Right.ADMINISTER)}
    return render(request, template, {**frame, **context}, status=status)


def see_other(address: str) -> HttpResponse:
    """After a POST: look at this page."""
    return HttpResponseRedirect(address, status=303)


def back(request: HttpRequest, default: str) -> HttpResponse:
    """To the page that the form names in `next`, as long as it is one of ours."""
    target = request.POST.get("next", "")
    own = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return see_other(target if target and own else default)


def say(request: HttpRequest, error: PhpBorgError) -> None:
    """An expected error as a message on the next page."""
    messages.error(request, f"{error} {describe(error.code, error.facts).advice}")


def put_on_form(form: forms.Form, error: PhpBorgError, field: str = "") -> None:
    """An expected error beside the field that it speaks of, or above the form."""
    words = describe(error.code, error.facts)
    text = f"{words.title} {words.advice}" + (f" ({error.detail})" if error.detail else "")
    form.add_error(field if field in form.fields else None, text)
