"""The whole journey by clicking: from the sign-in to files that came back, byte for byte.

Two servers by real sshd (root, and an unprivileged account with our sudoers file), both ways of the
data, both languages. Numbers move over the websocket: nothing is polled.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import pytest
from django.utils import translation
from django.utils.translation import gettext

from tests.e2e.browser import Visitor, visit
from tests.support.estate import Estate, running_estate
from tests.support.sshd import Sshd

pytestmark = pytest.mark.browser
MEGABYTES, RATE_KIB = 40, 4096
WATCH = """() => {
  window.seen = [];
  const look = () => {
    const text = document.querySelector("main .facts--wide")?.innerText ?? "";
    if (window.seen.at(-1) !== text) window.seen.push(text);
  };
  const all = {childList: true, subtree: true, characterData: true};
  new MutationObserver(look).observe(document.querySelector("main"), all);
}"""


def make_source(place: Path) -> None:
    """Data that takes a while, and names that are hard on everybody."""
    (place / "docs/drafts").mkdir(parents=True)
    (place / "docs/letter.txt").write_text("Dear Alice,\nthe first line is read in the preview: été ≠ hiver.\n")
    (place / "docs/drafts/a 'quoted' \"name\" $HOME.txt").write_text("quoted")
    (place / "docs/empty").touch()
    (place / "docs/link").symlink_to("letter.txt")
    (place / "docs/run.sh").write_text("#!/bin/sh\n")
    (place / "docs/run.sh").chmod(0o750)
    (place / "cache").mkdir()
    (place / "cache/dropped.tmp").write_text("not to be backed up")
    for number in range(MEGABYTES):
        (place / f"data-{number:02}").write_bytes(os.urandom(1_000_000))


def tree(place: Path) -> dict[str, tuple[str, int, str]]:
    """Every entry below: kind, mode, content."""
    found = {}
    for path in sorted(place.rglob("*")):
        kind = "link" if path.is_symlink() else "dir" if path.is_dir() else "file"
        if kind == "link":
            content = os.readlink(path)
        else:
            content = hashlib.sha256(path.read_bytes()).hexdigest() if kind == "file" else ""
        mode = 0 if kind == "link" else path.stat().st_mode & 0o7777
        found[str(path.relative_to(place))] = (kind, mode, content)
    return found


def add_server(alice: Visitor, name: str, sshd: Sshd, user: str, mode: str) -> None:
    """Address, fingerprint, key, set-up with its steps; then the way of the data."""
    page = alice.page
    alice.open("/servers/")
    alice.press("main a[href='/servers/add/']")
    page.fill("[name=name]", name)
    page.fill("[name=address]", sshd.address)
    page.fill("[name=port]", str(sshd.port))
    page.fill("[name=user]", user)
    alice.press("form.form button[type=submit]")
    shown = alice.text("#fingerprint")
    assert shown.startswith("SHA256:")
    assert shown == fingerprint_of(sshd)
    alice.post("/approve/")
    key = alice.text("#public-key").strip()
    assert key.startswith("ssh-ed25519 ")
    with sshd.authorized_keys(user).open("a") as file:
        file.write(key + "\n")
    alice.post("/setup/")
    is_ready(alice, name)
    if mode == "direct":
        alice.open(server_address(alice, name))
        page.check("[name=mode][value=direct]")
        alice.post("/mode/")
        is_ready(alice, name)


def is_ready(alice: Visitor, name: str) -> None:
    """Set-up ran to its end before our eyes: the page went on to the last step by itself."""
    alice.page.wait_for_selector("#content .note.tone-good, #content .steps li", timeout=60_000)
    alice.page.wait_for_selector("#content > .row a[href*='/jobs/new/']", timeout=90_000)
    alice.open(server_address(alice, name))
    assert alice.page.locator(".stats .badge.tone-bad").count() == 0, alice.text()


def fingerprint_of(sshd: Sshd) -> str:
    """What the server's administrator reads on its console."""
    import base64

    digest = hashlib.sha256(base64.b64decode(sshd.host_key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def server_address(alice: Visitor, name: str) -> str:
    """The server's page, found in the list."""
    alice.open("/servers/")
    return str(alice.page.locator("main table").get_by_role("link", name=name, exact=True).get_attribute("href"))


def make_job(alice: Visitor, server: str, source: Path) -> None:
    """The wizard, all seven steps, with the folder picker and the preview of what is dropped."""
    page = alice.page
    alice.open(server_address(alice, server))
    alice.press("a[href*='/jobs/new/']")
    if page.locator("[name=server]").count():
        page.locator("label.choice", has_text=server).locator("input").check()
        alice.press("button[name=next]:visible")
    page.check("#kind-files")
    next_step(alice)  # details
    page.click("#picker-open")
    for part in source.parts[1:-1]:
        page.locator(".picker button[name=open]").get_by_text(part, exact=True).click()
        page.wait_for_selector(f"nav.trail button:last-child:text-is('{part}')")
    entry = page.locator(".picker__entry", has_text=source.name)
    entry.locator("button[name=add]").click()
    page.wait_for_selector(f".picked code:text-is('{source}')")
    page.fill("[name=excludes]", "*.tmp")
    page.click("#check")
    page.wait_for_selector("#dropped .mono li")
    assert "cache/dropped.tmp" in alice.text("#dropped")
    next_step(alice)  # where
    page.locator("label.choice").first.locator("input").check()
    page.select_option("[name=compression]", "none")
    next_step(alice)  # limits
    page.fill("[name=upload_rate_kib]", str(RATE_KIB))
    next_step(alice)  # when
    page.wait_for_selector("#runs")
    next_step(alice)  # review
    page.fill("[name=name]", f"files of {server}")
    page.check("[name=run_now]")
    alice.press("form.form button.button--primary")


def next_step(alice: Visitor) -> None:
    """On to the next step of a wizard."""
    before = alice.page.url
    alice.page.locator("button[name=next]:visible:not(.visually-hidden)").click()
    alice.page.wait_for_url(lambda url: url != before)


def watch_the_backup(alice: Visitor) -> None:
    """On the task's page the numbers move, by the websocket alone, until the task has ended."""
    page = alice.page
    if "/tasks/" not in page.url:
        alice.open(page.locator("a[href^='/tasks/']:not([href='/tasks/'])").first.get_attribute("href"))
    page.wait_for_selector("section.panel .progress", timeout=60_000)
    alice.requests.clear()
    alice.frames.clear()
    page.evaluate(WATCH)
    alice.until("window.seen.length >= 8", 60, "the numbers do not move")
    assert alice.background_requests() == {}, "something is polled"
    page.wait_for_selector("main .badge.tone-good", timeout=90_000)
    page.wait_for_selector("main .progress", state="detached")
    page.wait_for_timeout(1500)
    asked = alice.background_requests()
    here = page.url.removeprefix(alice.url)
    assert set(asked) <= {f"GET {here}"}, asked
    assert sum(asked.values()) <= 1, f"the end of a task is one look: {asked}"
    seen = page.evaluate("window.seen")
    sizes = [found.group(1) for text in seen if (found := re.search(r"([\d.,]+)\s*M[Bo]", text))]
    assert len(set(sizes)) >= 4, f"the numbers do not move: {seen}"
    assert len(alice.frames) >= 8


def archive_of(alice: Visitor, job: str) -> None:
    """From the list of archives to the page of this one, and into its files."""
    page = alice.page
    alice.open("/archives/")
    alice.press(f"main table tr:has-text('{job}') th a")
    assert page.locator("main .badge.tone-good").count()
    alice.press("a[href$='/browse/']")
    alice.post("/browse/open/")
    page.wait_for_selector("[name=item]", timeout=60_000)


def look_around(alice: Visitor, source: Path) -> None:
    """Down to the source, with a look at a text file and at what was left out."""
    page = alice.page
    for part in [*source.parts[1:], "docs"]:
        alice.press(f"tbody th a:text-is('{part}')")
    alice.press("tbody th a:text-is('letter.txt')")
    assert "été ≠ hiver" in alice.text(".code pre")
    page.go_back()
    alice.press("#content nav.crumbs li:nth-last-child(2) a")
    alice.press("tbody th a:text-is('cache')")
    assert page.locator("text=dropped.tmp").count() == 0
    page.go_back()


def restore(alice: Visitor, names: tuple[str, ...], server: str, target: Path) -> None:
    """Tick, choose where to, see what will happen, start, and wait for the proof."""
    page = alice.page
    for name in names:
        page.locator("tbody tr", has=page.locator(f"th a:text-is('{name}')")).locator("[name=item]").check()
    alice.press("button[name=then][value=restore]")
    page.select_option("[name=server]", label=server)
    page.check("[name=destination][value=other_path]")
    page.fill("[name=target_path]", str(target))
    alice.press("button[name=check]")
    assert str(target) in alice.text("#preview")
    alice.press("button[formaction$='/start/']")
    page.wait_for_selector("main .badge.tone-good", timeout=90_000)


def journey(browser: Any, estate: Estate, tmp_path: Path, language: str, mode: str) -> None:
    """See the module."""
    tmp_path.chmod(0o755)
    alice = visit(browser, estate.product, "alice", locale=f"{language}-{language.upper()}")
    page = alice.page
    assert page.locator("html").get_attribute("lang") == language
    alice.open("/archives/")
    with translation.override(language):
        assert alice.text("h1") == gettext("Archives")
    add_server(alice, "one", estate.one, "root", mode)
    add_server(alice, "two", estate.two, estate.lab.account, mode)
    for server, other in (("one", "two"), ("two", "one")):
        source = tmp_path / f"source-{server}"
        make_source(source)
        make_job(alice, server, source)
        watch_the_backup(alice)
        archive_of(alice, f"files of {server}")
        look_around(alice, source)
        here, there = tmp_path / f"back-{server}", tmp_path / f"over-{server}"
        folder = page.url
        for where, target, names in ((server, here, ("docs",)), (other, there, ("docs", "data-07"))):
            page.goto(folder)
            restore(alice, names, where, target)
            [docs] = list(target.rglob("docs"))
            assert tree(docs) == tree(source / "docs")
        [data] = list(there.rglob("data-07"))
        assert data.read_bytes() == (source / "data-07").read_bytes()
    assert alice.problems == []


@pytest.mark.parametrize(("mode", "language"), [("tunnel", "fr"), ("direct", "en")])
def test_the_whole_journey(chromium: Any, tmp_path: Path, mode: str, language: str) -> None:
    with running_estate() as estate:
        estate.product.python(f"from phpborg.accounts.models import User; User.objects.update(language={language!r})")
        journey(chromium, estate, tmp_path, language, mode)
