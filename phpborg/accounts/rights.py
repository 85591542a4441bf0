"""Three rights, and the decorator that every view wears."""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from phpborg.errors import NotAllowed

View = Callable[..., HttpResponseBase]


class Right(enum.StrEnum):
    """What a person may do."""

    VIEW = "view"  # look at everything but secrets
    OPERATE = "operate"  # run, cancel, browse and restore
    ADMINISTER = "administer"  # define, delete, reveal


def require(user: Any, right: Right) -> None:
    """Raise NotAllowed unless this user has the right."""
    if not (user.is_authenticated and user.may(right)):
        raise NotAllowed()


def permission(right: Right) -> Callable[[View], View]:
    """The view runs only for those who have `right`; the others get a 403 page."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            require(request.user, right)
            return view(request, *args, **kwargs)

        checked.__dict__["right"] = right  # the matrix test reads it
        return checked

    return decorate
