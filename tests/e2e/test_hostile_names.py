"""Names that try to become part of a page are only shown: in a real browser, which would run them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.browser import visit
from tests.support.estate import Estate, running_estate

pytestmark = pytest.mark.browser
OWN = "document.title=`owned`"
NAMES = (
    f"<img src=x onerror={OWN}>",
    f'"><svg onload={OWN}>',
    f"'-{OWN}-'",
    f"<b hx-on:load={OWN} hx-get=x hx-trigger=load>b<",
    "{{ 7|add:7 }}{% now 'Y' %}",
    "javascript:alert(1)",
    "&lt;i&gt;",
    "bill\u202efdp.exe",
    "line\nbreak",
)
JOB = f'</title><img src=x onerror={OWN}>"{{{{ 7|add:7 }}}}'


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """A server with a job whose name, files and folder are hostile; one file is missing in each run."""
    source = tmp_path_factory.mktemp("hostile")
    for name in NAMES:
        (source / name).write_text(f"<script>{OWN}</script>")
    with running_estate() as made:
        made.add_server("one", made.one, "root")
        made.add_job(JOB, "one", source, source / f"gone <img src=x onerror={OWN}>")
        made.sources.append(source)
        assert made.run(JOB)["state"] == "incomplete"
        yield made


@pytest.fixture(scope="module")
def addresses(estate: Estate) -> dict[str, str]:
    """The pages about the job, with its archive open and a restore begun."""
    code = f"import json; from tests.e2e import inside; print(json.dumps(inside.addresses({JOB!r}, '')))"
    return dict(json.loads(estate.product.python(code)))


def test_a_name_is_only_shown(chromium: Any, estate: Estate, addresses: dict[str, str]) -> None:
    alice = visit(chromium, estate.product, "alice")
    alice.page.on("dialog", lambda dialog: alice.problems.append(f"{alice.page.url} asks: {dialog.message}"))
    pages = {
        **addresses,
        **{name: f"/{name}/" for name in ("jobs", "archives", "tasks", "restores")},
        "dashboard": "/",
        "pick": f"{addresses['archive']}restore/",
        "admin": "/admin/backups/backupjob/",
        "admin tasks": "/admin/tasks/task/",
    }
    owned = []
    for name, address in pages.items():
        answer = alice.page.goto(alice.url + address)
        assert answer.status == 200, name
        alice.page.wait_for_timeout(200)
        if alice.page.title() == "owned" or alice.page.locator("main :is(img[src=x], svg[onload], b[hx-get])").count():
            owned.append(name)
    assert owned == []
    assert alice.problems == []


def test_the_browser_shows_each_name_as_it_is(chromium: Any, estate: Estate, addresses: dict[str, str]) -> None:
    alice = visit(chromium, estate.product, "alice")
    alice.open(addresses["browse"])
    text = alice.page.locator("main").inner_text()
    for name in NAMES:
        assert name.replace("\u202e", "<U+202E>").replace("\n", "␊") in text, name
    assert "\u202e" not in text


def test_a_file_that_is_html_is_text_or_a_download(chromium: Any, estate: Estate, addresses: dict[str, str]) -> None:
    """As a page of its own it could do whatever its reader may do."""
    alice = visit(chromium, estate.product, "alice")
    alice.open(addresses["browse"])
    links = alice.page.locator("main a[href*='/file/']").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert len(links) == len(NAMES)
    for link in links:
        alice.open(link)
        assert alice.page.title() != "owned"
        assert "<script>" in alice.page.locator("main").inner_text()
        given = alice.page.request.get(alice.url + link.replace("/file/", "/download/"))
        assert given.headers["content-disposition"].startswith("attachment")
        assert given.headers["x-content-type-options"] == "nosniff"
    assert alice.problems == []
