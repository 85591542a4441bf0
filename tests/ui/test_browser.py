"""What the frame does in a browser: dialogs, keys, live parts, phones, and without JavaScript."""

from __future__ import annotations

import pytest
from django.template.loader import render_to_string
from django.utils import translation

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PHONE = {"width": 375, "has_touch": True, "is_mobile": True}

TOO_SMALL = """() => [...document.querySelectorAll('a, button, summary, input, select, textarea')].filter(element => {
  const box = element.getBoundingClientRect();
  const isHidden = !box.width || getComputedStyle(element).visibility === 'hidden';
  if (isHidden || element.closest('.visually-hidden, thead, p, dd, .crumbs, .skip')) return false;
  const isBox = element.matches('[type=checkbox], [type=radio]');
  const target = isBox ? element.closest('label, .field__check, td, div') : element;
  return Math.round(target.getBoundingClientRect().height) < 44;
}).map(element => `${element.tagName} ${element.className} ${element.textContent.trim().slice(0, 30)}`)"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def posted(page, action):
    """What the browser sends by POST when `action` is done."""
    with page.expect_request(lambda request: request.method == "POST") as caught:
        action()
    return caught.value.post_data or ""


def test_a_typed_name_is_asked_before_something_is_removed(open_page):
    page = open_page("/styleguide/")
    dialog = page.locator("#confirm-dialog")
    page.get_by_role("button", name="Remove…").click()
    assert dialog.is_visible()
    assert "4 jobs" in dialog.inner_text()
    confirm = dialog.get_by_role("button", name="Remove the server")
    assert confirm.is_disabled()
    page.keyboard.type("web-0")
    assert confirm.is_disabled()
    page.keyboard.type("1")
    sent = posted(page, confirm.click)
    assert "confirmed=1" in sent
    assert "typed=web-01" in sent


def test_escape_sends_nothing(open_page):
    page = open_page("/styleguide/")
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.get_by_role("button", name="Remove…").click()
    page.keyboard.press("Escape")
    page.wait_for_timeout(200)
    assert not page.locator("#confirm-dialog").is_visible()
    assert sent == []
    page.get_by_role("button", name="Remove…").click()
    assert page.locator("#confirm-typed").input_value() == ""


def test_shift_chooses_a_range_of_rows(open_page):
    page = open_page("/styleguide/")
    page.locator("[data-select-row][value='web-01.example.org']").click()
    page.locator("[data-select-row][value='web-04.example.org']").click(modifiers=["Shift"])
    assert page.locator("[data-select-row]:checked").count() == 4
    assert "4 chosen" in page.locator("[data-select-bar]").inner_text()
    assert page.locator("[data-select-all]").evaluate("box => box.indeterminate")
    page.locator("[data-select-all]").click()
    assert page.locator("[data-select-row]:checked").count() == 7
    page.locator("[data-select-none]").click()
    assert page.locator("[data-select-bar]").is_hidden()


def test_the_theme_changes_at_once_and_stays(open_page, alice):
    page = open_page("/styleguide/", color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    bright = page.evaluate(ground)
    page.locator("form.theme summary").click()
    with page.expect_response(lambda response: "/theme/" in response.url):
        page.locator("[data-theme-choice=dark]").click()
    assert page.evaluate(ground) != bright
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    alice.refresh_from_db()
    assert alice.theme == "dark"


def test_the_language_changes_and_the_page_stays(open_page):
    page = open_page("/servers/?q=a")
    page.locator("form.language summary").click()
    page.locator("button[value=fr]").click()
    page.wait_for_selector("html[lang=fr]")
    assert page.url.endswith("/servers/?q=a")


def test_keys(open_page):
    page = open_page("/styleguide/")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.type("/")
    assert page.locator("#q").input_value() == "/"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("g")
    page.keyboard.press("t")
    page.wait_for_url("**/tasks/")


def test_the_first_tab_skips_to_the_content(open_page):
    page = open_page("/fails/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_a_menu_closes_and_gives_the_focus_back(open_page):
    page = open_page("/servers/")
    menu = page.locator("details.menu", has_text="alice")
    menu.locator("summary").click()
    page.keyboard.press("ArrowDown")
    assert "Preferences" in page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Escape")
    assert menu.get_attribute("open") is None
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_messages_can_be_closed(open_page):
    page = open_page("/styleguide/?toast=1")
    assert page.locator("#toasts .toast").count() == 2
    page.locator("#toasts .toast button").first.click()
    assert page.locator("#toasts .toast").count() == 1


def test_moments_are_said_as_people_say_them(open_page):
    page = open_page("/styleguide/")
    moment = page.locator(".page__lead time")
    assert moment.inner_text() == "5 minutes ago"
    assert len(moment.get_attribute("title")) > 8


def bar(*names):
    tasks = [
        {"id": f"00000000-0000-4000-8000-00000000000{index}", "kind": "backup", "subject": name, "state": "running"}
        for index, name in enumerate(names)
    ]
    for task in tasks:
        task |= {"phase": "transferring", "progress": {"share": 0.5, "rate_now": 1e6, "remaining_seconds": 9}}
    with translation.override("en"):
        return render_to_string("tasks/_taskbar.html", {"tasks": tasks, "total": len(tasks), "oob": True})


class Line:
    """The websocket of a page, answered by the test."""

    def __init__(self):
        self.sockets = []

    def answer(self, page):
        def connected(socket):  # a built-in cannot be a listener
            self.sockets.append(socket)

        page.route_web_socket("**/ws/live/**", connected)

    def send(self, page, text):
        self.sockets[-1].send(text)
        page.wait_for_timeout(150)


def test_a_live_task_bar_keeps_focus_and_what_is_open(open_page):
    line = Line()
    page = open_page("/servers/", before=line.answer)
    page.wait_for_timeout(200)
    line.send(page, bar("web-01", "web-02"))
    page.locator("#taskbar-summary").click()
    link = page.locator("#taskbar-list a").first
    link.focus()
    line.send(page, bar("web-01", "web-02", "web-03"))
    assert page.locator("#taskbar-list li").count() == 3
    assert page.locator("#taskbar-details").get_attribute("open") is not None
    assert page.evaluate("document.activeElement.id").startswith("taskbar-task-")
    assert page.locator("#live-announcer").inner_text() == "3 tasks are active."
    page.reload()
    page.wait_for_timeout(200)
    line.send(page, bar("web-01"))
    assert page.locator("#taskbar-details").get_attribute("open") is not None


def test_the_end_of_a_task_is_told_to_the_page_once(open_page):
    line = Line()
    page = open_page("/servers/", before=line.answer)
    page.wait_for_timeout(200)
    page.evaluate("window.ended = 0; document.body.addEventListener('task-ended', () => ended++)")
    line.send(page, render_to_string("components/_refresh.html", {"task": {"id": "abc"}}))
    assert page.evaluate("ended") == 1
    assert page.locator("#live-events").inner_html().strip() == ""


def test_a_lost_connection_is_said_and_unsaid(open_page):
    answers = {"on": True}

    def before(page):
        def connected(socket):
            line.sockets.append(socket)
            if not answers["on"]:
                socket.close(code=1012, reason="restarting")

        page.route_web_socket("**/ws/live/**", connected)

    line = Line()
    page = open_page("/servers/", before=before)
    page.wait_for_timeout(200)
    words = page.locator("[data-live-state]")
    assert words.is_hidden()
    answers["on"] = False
    line.sockets[-1].close(code=1012, reason="restarting")
    words.wait_for(state="visible", timeout=10_000)
    assert "reconnecting" in words.inner_text()
    answers["on"] = True
    words.wait_for(state="hidden", timeout=20_000)


@pytest.mark.parametrize("path", ["/styleguide/?toast=1", "/servers/", "/admin/", "/password/", "/remove/", "/fails/"])
def test_a_phone_needs_no_sideways_scrolling_and_no_small_fingers(path, open_page):
    page = open_page(path, **PHONE)
    page.wait_for_timeout(150)
    assert page.evaluate(OVERFLOW) <= 0
    assert page.evaluate(TOO_SMALL) == []


def test_a_phone_reaches_every_page(open_page):
    page = open_page("/servers/", **PHONE)
    page.locator("details.navmenu > summary").click()
    page.locator(".navmenu__panel").get_by_role("link", name="Tasks").click()
    page.wait_for_url("**/tasks/")


@pytest.mark.parametrize("width", [375, 1280])
def test_everything_works_without_javascript(width, open_page, alice):
    page = open_page("/remove/", width=width, java_script_enabled=False)
    page.locator("#typed").fill("web-1")
    page.get_by_role("button", name="Remove").click()
    assert "This is not the name." in page.content()
    page.locator("#typed").fill("web-01")
    page.get_by_role("button", name="Remove").click()
    assert page.locator("body").inner_text() == "removed"
    page.goto(page.url.replace("/remove/", "/servers/"))
    if width == 375:
        page.locator("details.navmenu > summary").click()
        page.locator(".navmenu__panel a[href='/tasks/']").click()
    else:
        page.locator(".sidebar a[href='/tasks/']").click()
    page.locator("form.theme summary").click()
    page.locator("[data-theme-choice=dark]").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.url.endswith("/tasks/")
