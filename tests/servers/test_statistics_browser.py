"""A server's charts in Chromium: on a phone, in the dark, without JavaScript. Rows are made by the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from phpborg.accounts.models import User
from servers.models import Sample
from tests.servers.fleet_of_answers import make_servers
from tests.servers.test_statistics_pages import samples
from tests.ui.conftest import chromium  # noqa: F401  (a fixture)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
OUTSIDE = """() => [...document.querySelectorAll('.chart')].flatMap(chart => {
  const box = chart.getBoundingClientRect();
  return [...chart.querySelectorAll('text')].filter(text => {
    const own = text.getBoundingClientRect();
    return own.width && (own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1);
  }).map(text => text.textContent);
})"""


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
@pytest.mark.parametrize(("width", "colours", "language"), [(375, "dark", "fr"), (1280, "light", "en")])
def test_charts_fit_and_are_seen(
    chromium: Any,  # noqa: F811
    live_server: Any,
    diane: User,
    client_of: Callable[[User], Client],
    width: int,
    colours: Any,
    language: str,
    scripts: bool,
) -> None:
    User.objects.filter(pk=diane.pk).update(language=language)
    (server,) = make_servers("web")
    for resolution, count in (("hour", 24 * 60), ("day", 200), ("fine", 96)):
        samples(server, resolution, count)
    gap = Sample.objects.filter(resolution="fine").order_by("taken_at")[30:50].values("pk")
    Sample.objects.filter(pk__in=list(gap.values_list("pk", flat=True))).delete()
    cookie = client_of(diane).cookies["sessionid"].value
    context = chromium.new_context(
        viewport={"width": width, "height": 800}, color_scheme=colours, java_script_enabled=scripts
    )
    try:
        context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
        page = context.new_page()
        page.route_web_socket("**/ws/live/**", lambda _socket: None)
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        for span in ("24h", "7d", "90d", "1y"):
            page.goto(f"{live_server.url}/servers/{server.pk}/statistics/?span={span}")
            assert page.locator("svg.chart").count() == 5
            line = page.locator("polyline.chart__line").first
            assert line.bounding_box()["width"] > 20
            if scripts:
                assert page.evaluate(OVERFLOW) <= 0
                assert page.evaluate(OUTSIDE) == []
        page.goto(f"{live_server.url}/servers/{server.pk}/statistics/")
        page.locator('a[href="?span=7d"]').click()
        assert page.url.endswith("?span=7d")
        page.locator("summary", has_text="tab").first.click()
        assert page.locator(".chart-values table").first.is_visible()
        assert problems == []
    finally:
        context.close()
