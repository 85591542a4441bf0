"""The commands that follow a restore, in Chromium: long lines wrap on a phone, and each can be copied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from phpborg.accounts.models import User
from recovery.models import Restore
from recovery.services import physical, restores
from servers.models import Server
from tests.recovery.test_database_plan import PHYSICAL, archive_of, seen
from tests.servers.fleet_of_answers import make_servers
from tests.servers.test_statistics_browser import OVERFLOW
from tests.ui.conftest import chromium  # noqa: F401  (a fixture)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def done(server: Server) -> Restore:
    """A restore of PostgreSQL's files that has ended."""
    archive = archive_of(server, method="snapshot", **PHYSICAL)
    row = restores.draft(archive=archive, selection=physical.tokens(archive))
    row.server, row.destination, row.target_path = server, Restore.Destination.OTHER_PATH, "/re covery"
    row.plan, row.state, row.report = restores.plan_of(row).as_json(), Restore.State.DONE, {"staged": 3}
    row.save()
    return row


@pytest.mark.parametrize(("width", "colours", "language"), [(375, "dark", "fr"), (1280, "light", "en")])
def test_the_page_is_as_wide_as_the_screen(
    chromium: Any,  # noqa: F811
    live_server: Any,
    alice: User,
    client_of: Callable[[User], Client],
    width: int,
    colours: Any,
    language: str,
) -> None:
    User.objects.filter(pk=alice.pk).update(language=language)
    (server,) = make_servers("web")
    seen(server)
    row = done(server)
    cookie = client_of(alice).cookies["sessionid"].value
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=colours)
    try:
        context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
        page = context.new_page()
        page.route_web_socket("**/ws/live/**", lambda _socket: None)
        page.goto(f"{live_server.url}/restores/{row.pk}/")
        assert page.locator(".code pre").count() > 5
        assert page.locator("[data-copy]").count() == page.locator(".code pre").count()
        assert page.evaluate(OVERFLOW) <= 0
    finally:
        context.close()
