"""Adminer below an address of ours: who may ask is decided here, request by request."""

from __future__ import annotations

import uuid
from io import BytesIO
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from phpborg.accounts.rights import Right, permission
from phpborg.errors import NotAllowed, describe
from recovery.errors import AdminerAway
from recovery.models import Session
from recovery.services import adminer_http
from recovery.services.download import streamed


# Adminer's forms have its own token instead of ours; other sites are kept out below.
@csrf_exempt
@require_http_methods(adminer_http.METHODS)
@permission(Right.OPERATE)
def adminer(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """One request, carried there and back."""
    if not _is_ours(request):
        raise NotAllowed()
    session = get_object_or_404(Session.objects.select_related("server"), pk=pk)
    try:
        return _carried(request, session)
    except AdminerAway as error:
        context = {"session": session, "error": describe(error.code, error.facts), "detail": error.detail}
        return render(request, "recovery/adminer_away.html", context, status=409)


def _carried(request: HttpRequest, session: Session) -> HttpResponseBase:
    """Raises AdminerAway."""
    if session.state != Session.State.READY or session.adminer_port is None:
        raise AdminerAway(str(session.get_adminer_problem_display()))
    length = _length(request)
    if length is None:
        return HttpResponse(status=411)
    if length > adminer_http.MOST_BODY:
        return HttpResponse(status=413)
    answer = adminer_http.ask(
        session,
        request.method or "GET",
        request.META.get("QUERY_STRING", ""),
        adminer_http.passed_on(request.headers),
        adminer_http.cookie_header(request.COOKIES),
        request if request.method == "POST" else BytesIO(),  # type: ignore[arg-type]
        length,
    )
    return _response(request, answer, reverse("adminer", args=[session.pk]))


def _is_ours(request: HttpRequest) -> bool:
    """Does the request come from a page of ours, or from the browser's own address bar?

    A browser that says nothing may look; whoever sends a form must say where it comes from.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    if origin is not None:
        return origin in _origins(request)
    return request.method in ("GET", "HEAD") or site == "same-origin"


def _origins(request: HttpRequest) -> set[str]:
    public = urlsplit(settings.PUBLIC_URL)
    here = f"{request.scheme}://{request.get_host()}"
    return {here, f"{public.scheme}://{public.netloc}", *settings.CSRF_TRUSTED_ORIGINS}


def _length(request: HttpRequest) -> int | None:
    """Of the body; None when nobody says."""
    if request.method != "POST":
        return 0
    given = request.META.get("CONTENT_LENGTH", "")
    return int(given) if given.isdigit() else None


def _response(request: HttpRequest, answer: adminer_http.Answer, prefix: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(streamed(answer.chunks), status=answer.status, headers=answer.headers)
    if answer.location is not None:
        response.headers["Location"] = adminer_http.place(answer.location, prefix)
    for name, value in answer.cookies.items():
        if value:
            secure = request.is_secure()
            response.set_cookie(name, value, path=prefix, secure=secure, httponly=True, samesite="Strict")
        else:
            response.delete_cookie(name, path=prefix, samesite="Strict")
    response.headers["Content-Security-Policy"] = adminer_http.policy(request.get_host(), prefix, answer.nonce)
    response.headers["Referrer-Policy"] = "same-origin"  # with none at all a form would say that it comes from "null"
    response.headers.setdefault("Content-Type", "application/octet-stream")
    if response.headers["Content-Type"].startswith("text/html"):
        response.headers["Cache-Control"] = "private, no-store"  # rows of a database; its style and script may stay
    return response
