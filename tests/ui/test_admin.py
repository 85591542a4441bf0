"""The administration wears the product's frame and breaks no rule of it."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.urls import reverse

from phpborg.ui.admin_site import ROOMS, PhpBorgAdminSite
from tests.ui.page import accessibility_problems

INLINE = re.compile(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|<[^>]*\son\w+=|javascript:", re.IGNORECASE)


@pytest.fixture
def signed_in(alice, client_of):
    return client_of(alice)


def test_the_site_is_ours():
    assert isinstance(admin.site, PhpBorgAdminSite)


def test_the_first_page_is_in_our_frame(signed_in):
    html = signed_in.get("/admin/").content.decode()
    assert 'id="taskbar"' in html
    assert "css/admin.css" in html
    assert "admin/css/base.css" not in html
    assert accessibility_problems(html) == []
    assert not INLINE.search(html)


def test_rooms_come_in_their_order(rf, alice):
    request = rf.get("/admin/")
    request.user = alice
    labels = [app["app_label"] for app in admin.site.get_app_list(request)]
    assert "auth" not in labels
    known = [label for label in labels if label in ROOMS]
    assert known == sorted(known, key=ROOMS.index)


def pages_of(model, options):
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    yield reverse(f"{name}_changelist")
    if options.has_add_permission.__func__ is admin.ModelAdmin.has_add_permission:
        yield reverse(f"{name}_add")


def test_every_list_and_form_keeps_the_rules(signed_in):
    found = []
    for model, options in admin.site._registry.items():
        if model._meta.app_label == "django_rq":  # not ours; hidden
            continue
        for path in pages_of(model, options):
            answer = signed_in.get(path)
            if answer.status_code == 302:  # a form that has a better page of its own
                continue
            html = answer.content.decode()
            found += [f"{path}: {match[0]}" for match in INLINE.finditer(html)]
            found += [f"{path}: no {part}" for part in ('id="taskbar"', "<h1", "css/admin.css") if part not in html]
            found += [f"{path}: Django's stylesheet"] if "admin/css/base.css" in html else []
    assert found == []


@pytest.mark.parametrize("who", ["bob", "diane"])
def test_others_do_not_enter(who, request, client_of):
    client = client_of(request.getfixturevalue(who))
    answer = client.get("/admin/")
    assert answer.status_code == 302
    assert "Your account may not open this page." in client.get(answer.headers["Location"]).content.decode()
