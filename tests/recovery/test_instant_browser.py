"""The pages of Instant Recovery in Chromium: no wider than the screen, what is to be copied can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from phpborg.accounts.models import User
from phpborg.tasks.models import Task
from tests.engines.test_found_json import POSTGRESQL, POSTGRESQL_WHOLE
from tests.recovery.test_instant_pages import archive, looked, session_of
from tests.servers.test_statistics_browser import OVERFLOW
from tests.ui.conftest import chromium

__all__ = ["archive", "chromium"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize(("width", "colours", "language"), [(375, "dark", "fr"), (1280, "light", "en")])
def test_the_pages_are_as_wide_as_the_screen(
    chromium: Any,
    live_server: Any,
    alice: User,
    archive: Any,
    client_of: Callable[[User], Client],
    tmp_path: Path,
    width: int,
    colours: Any,
    language: str,
) -> None:
    User.objects.filter(pk=alice.pk).update(language=language)
    first = reverse("instant", args=[archive.pk])
    addresses = {"look": first, "list": reverse("sessions")}
    for state in ("ready", "failed", "stopped"):
        addresses[state] = session_of(archive, state, port=15432 if state == "ready" else None).get_absolute_url()
    space = {"free_bytes": 900_000_000, "disk_bytes": 10_000_000_000}
    figures = {"read_bytes": 12_000_000, "upper_bytes": 1_200_000, "connections": 2, **space}
    serving = {**figures, "expires_at": timezone.now().isoformat()}
    Task.objects.filter(kind="instant_recovery", state="running").update(phase="serving", progress=serving)
    cookie = client_of(alice).cookies["sessionid"].value
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=colours)
    try:
        context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
        page = context.new_page()
        page.route_web_socket("**/ws/live/**", lambda _socket: None)
        for name, address in addresses.items():
            page.goto(live_server.url + address)
            page.screenshot(path=str(tmp_path / f"{name}.png"), full_page=True)
            assert page.evaluate(OVERFLOW) <= 0, name
        page.goto(live_server.url + addresses["ready"])
        assert page.locator("#session [data-copy]").count() == 3
        nobodys = replace(POSTGRESQL_WHOLE, owner=None, path=b"srv/a-directory-with-a-name-that-is-long/and-goes-on")
        looked(archive, nobodys, POSTGRESQL_WHOLE, POSTGRESQL)
        page.goto(live_server.url + first)
        page.locator("details summary.more").first.click()
        page.screenshot(path=str(tmp_path / "found.png"), full_page=True)
        assert page.evaluate(OVERFLOW) <= 0
    finally:
        context.close()
