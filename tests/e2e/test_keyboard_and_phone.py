"""Every main page by keyboard, on a phone, in the dark, and without JavaScript."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import Visitor, visit
from tests.support.estate import Estate, running_estate

pytestmark = pytest.mark.browser
PHONE = {"viewport": {"width": 375, "height": 812}, "has_touch": True, "is_mobile": True}
FOCUSED = """() => {
  const element = document.activeElement;
  return element === document.body ? "" : element.closest('dialog') ? 'dialog' : 'page';
}"""
# What is cut off on the right though nothing says that it can be scrolled.
CUT_OFF = """() => [...document.querySelectorAll('main *')].filter(element => {
  const box = element.getBoundingClientRect();
  const scrolls = element.closest('.table-scroll, pre, .code, .picker, .log, .results, [data-scrolls]');
  return box.width && box.right > innerWidth + 1 && !scrolls && !element.closest('.visually-hidden, svg');
}).map(element => `${element.tagName}.${element.className}: ${element.textContent.trim().slice(0, 40)}`).slice(0, 5)"""


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """One server by SSH with a job that has run."""
    source = tmp_path_factory.mktemp("source")
    (source / "a-file-with-a-name-that-is-quite-long-and-has-no-place-to-break-it-anywhere-at-all.txt").write_text("a")
    (source / "folder").mkdir()
    (source / "folder/letter.txt").write_text("Dear Alice")
    with running_estate() as made:
        made.add_server("one", made.one, "root")
        made.add_job("files", "one", source)
        made.sources.append(source)
        assert made.run("files")["state"] == "success"
        yield made


@pytest.fixture(scope="module")
def addresses(estate: Estate) -> dict[str, str]:
    """A page of every kind, with the archive open and a restore begun."""
    code = "import json; from tests.e2e import inside; print(json.dumps(inside.addresses('files', '')))"
    found = dict(json.loads(estate.product.python(code)))
    archive, server = found["archive"], found["server"]
    lists = ("servers", "jobs", "archives", "storage", "tasks", "restores")
    return {
        **{name: f"/{name}/" for name in lists},
        **found,
        "dashboard": "/",
        "workers": "/tasks/workers/",
        "add a server": "/servers/add/",
        "enrolment": f"{server}enrol/?step=key",
        "edit a server": f"{server}edit/",
        "remove a server": f"{server}remove/",
        "pick": f"{archive}restore/",
        "mail": "/settings/mail/",
        "preferences": "/account/preferences/",
        "first run": "/first-run/",
        "admin": "/admin/",
        "admin servers": "/admin/servers/server/",
        "trash": "/archives/?place=trash",
    }


def test_nothing_is_wider_than_a_phone(chromium: Any, estate: Estate, addresses: dict[str, str]) -> None:
    alice = visit(chromium, estate.product, "alice", **PHONE)
    wide = {}
    for name, address in addresses.items():
        alice.open(address)
        cut = alice.page.evaluate(CUT_OFF)
        if alice.overflow() > 0 or cut:
            wide[name] = (alice.overflow(), cut)
    assert wide == {}
    assert alice.problems == []


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("servers", "a[href='/servers/add/']"),
        ("server", "form[action$='/run-all/'] button"),
        ("jobs", "a[href='/jobs/new/']"),
        ("job", "form[action$='/run/'] button"),
        ("archive", "a[href$='/browse/']"),
        ("wizard-kind", "button[name=next]:not(.visually-hidden)"),
        ("wizard-what", "button[name=next]:not(.visually-hidden)"),
        ("restore-options", "button[formaction$='/start/']"),
    ],
)
def test_the_main_action_is_reached_by_tab(
    chromium: Any, estate: Estate, addresses: dict[str, str], name: str, action: str
) -> None:
    alice = visit(chromium, estate.product, "alice")
    alice.open(addresses[name])
    page = alice.page
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    target = page.locator(f"main {action}").first
    for _ in range(60):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            break
    else:
        raise AssertionError(f"{action} is not reached")
    outline = target.evaluate("element => getComputedStyle(element).outlineStyle")
    assert outline != "none", "nobody sees where the focus is"


def test_a_dialog_keeps_the_focus_and_gives_it_back(chromium: Any, estate: Estate, addresses: dict[str, str]) -> None:
    alice = visit(chromium, estate.product, "alice")
    alice.open(addresses["server"])
    page = alice.page
    button = page.locator("form[action$='/run-all/'] button")
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("#confirm-dialog")
    assert dialog.is_visible()
    places = set()
    for _ in range(8):
        page.keyboard.press("Tab")
        places.add(page.evaluate(FOCUSED))
    assert places <= {"dialog", ""}, "the focus left the dialog for the page below it"
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert button.evaluate("element => element === document.activeElement")


def test_a_dark_page_everywhere_after_one_switch(chromium: Any, estate: Estate, addresses: dict[str, str]) -> None:
    alice = visit(chromium, estate.product, "alice", color_scheme="light")
    page = alice.page
    page.locator("form.theme summary").click()
    with page.expect_response(lambda response: "/theme/" in response.url):
        page.locator("[data-theme-choice=dark]").click()
    bright = {}
    for name in ("servers", "server", "task", "wizard-what", "admin", "admin servers"):
        alice.open(addresses[name])
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        if sum(ground[:3]) > 150:
            bright[name] = ground
    page.locator("form.theme summary").click()
    with page.expect_response(lambda response: "/theme/" in response.url):
        page.locator("[data-theme-choice=auto]").click()
    assert bright == {}


def test_a_job_without_javascript(chromium: Any, estate: Estate) -> None:
    alice = visit(chromium, estate.product, "alice", java_script_enabled=False)
    page = alice.page
    alice.open("/jobs/new/")
    page.check("label.choice input")
    alice.press("button[name=next]")
    page.check("#kind-files")
    alice.press("button[name=next]:not(.visually-hidden)")
    alice.press("#picker-open")
    source = estate.sources[0]
    for part in source.parts[1:-1]:
        alice.press(f".picker button[name=open]:text-is('{part}')")
    alice.press(f".picker__entry:has-text('{source.name}') button[name=add]")
    page.fill("[name=excludes]", "*.tmp")
    alice.press("#check")
    assert page.locator("#dropped p").count()
    for _ in range(4):
        alice.press("button[name=next]:not(.visually-hidden)")
    page.fill("[name=name]", "without javascript")
    page.check("[name=run_now]")
    alice.press("form.form button.button--primary")
    assert estate.product.manage_json("job", "show", "without javascript")["name"] == "without javascript"


def test_a_restore_without_javascript(chromium: Any, estate: Estate, addresses: dict[str, str], tmp_path: Path) -> None:
    alice = visit(chromium, estate.product, "alice", java_script_enabled=False)
    page = alice.page
    alice.open(addresses["archive"])
    alice.press("main .page__actions a[href$='/restore/']")
    page.fill("[name=paths]", str(estate.sources[0] / "folder"))
    alice.press("main form.form button[type=submit]")
    page.check("[name=destination][value=other_path]")
    page.fill("[name=target_path]", str(tmp_path / "back"))
    alice.press("button[formaction$='/start/']")
    _restored(alice, tmp_path / "back")


def _restored(alice: Visitor, target: Path) -> None:
    for _ in range(60):
        if alice.page.locator("main .badge.tone-good").count():
            break
        alice.page.wait_for_timeout(1000)
        alice.page.reload()
    [letter] = target.rglob("letter.txt")
    assert letter.read_text() == "Dear Alice"
