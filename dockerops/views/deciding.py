"""The fifth step: where to, under which names, how what is replaced is protected, what is started afterwards."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from dockerops.forms import OptionsForm
from dockerops.from_dumps import torn_dumps
from dockerops.options import Options
from dockerops.services import detecting, drafts, looking
from dockerops.views.colliding import ask_when_stale
from dockerops.views.frame import Step, draft_of, forward, frame, missing_before, to_step
from phpborg.accounts.rights import Right, permission
from phpborg.ui.answers import page


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def docker_options(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Options decide about conflicts: other ones lead back through the check, which begins at once."""
    row = draft_of(request, pk)
    if (missing := missing_before(row, Step.OPTIONS)) is not None:
        return to_step(row, missing)
    before = Options.from_json(row.options)
    torn = torn_dumps(looking.contents_of(row))
    form = OptionsForm(request.POST or None, torn=torn, initial=OptionsForm.initial_of(before))
    if request.method == "POST" and form.is_valid():
        drafts.set_options(restore=row, options=form.options().as_json())
        if "leave" in request.POST:
            return forward(request, row, Step.OPTIONS)
        if detecting.is_current(row) and not detecting.standing(row):
            return to_step(row, Step.REVIEW)
        if not detecting.is_current(row):
            messages.info(request, _("Other options, other conflicts: the server is checked for them."))
            ask_when_stale(request, row)
        return to_step(row, Step.CONFLICTS, then="review")
    context = frame(request, row, Step.OPTIONS, form=form, is_current=detecting.is_current(row))
    return page(request, "dockerops/options.html", context, status=422 if form.is_bound else 200)
