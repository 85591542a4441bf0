"""The expert view of storage, and what the clock queues."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from backups.models import Repository, StoragePool
from backups.services import maintenance
from phpborg.crypto import EncryptedField
from phpborg.scheduling import clock
from phpborg.tasks.models import Task


@pytest.mark.parametrize("model", ["storagepool", "repository"])
def test_the_admin_shows_rows_and_no_secret(registered, client_of, alice, model):
    registered.passphrase = EncryptedField.seal("sesame open now")
    registered.save()
    row = registered if model == "repository" else registered.pool
    browser = client_of(alice)
    for page in (
        reverse(f"admin:backups_{model}_changelist"),
        reverse(f"admin:backups_{model}_change", args=[row.pk]),
    ):
        html = browser.get(page).content.decode()
        assert str(row) in html
        assert "sesame" not in html
        assert str.__str__(registered.passphrase) not in html
    assert browser.get(reverse(f"admin:backups_{model}_add")).status_code == 403
    assert browser.get(reverse(f"admin:backups_{model}_delete", args=[row.pk])).status_code == 403


def test_admin_actions_queue_tasks(registered, client_of, alice):
    browser = client_of(alice)
    for model, row, action, kind in (
        ("repository", registered, "compare", "sync"),
        ("repository", registered, "check_files", "check"),
        ("repository", registered, "compact", "compact"),
        ("storagepool", registered.pool, "analyse", "pool_analysis"),
    ):
        fields = {"action": action, "_selected_action": [str(row.pk)]}
        browser.post(reverse(f"admin:backups_{model}_changelist"), fields)
        browser.post(reverse(f"admin:backups_{model}_changelist"), fields)
        assert Task.objects.filter(kind=kind).count() == 1


def test_pools_are_analysed_hourly_and_repositories_measured_daily(registered):
    now = timezone.now()
    StoragePool.objects.update(analysed_at=now - timedelta(minutes=20))
    Repository.objects.update(measured_at=now - timedelta(hours=3))
    assert (maintenance.analyse_due(), maintenance.measure_due()) == (0, 0)
    StoragePool.objects.update(analysed_at=now - timedelta(minutes=61))
    Repository.objects.update(measured_at=now - timedelta(hours=25))
    assert (maintenance.analyse_due(), maintenance.measure_due()) == (1, 1)
    assert (maintenance.analyse_due(), maintenance.measure_due()) == (0, 0)
    assert set(Task.objects.values_list("kind", "is_system")) == {("pool_analysis", True), ("measure_disk", True)}


def test_the_clock_knows_of_it():
    names = clock.load()
    assert "backups.clock_storage.analyse_pools" in names
    assert "backups.clock_storage.measure_repositories" in names


def test_what_is_in_the_trash_is_left_alone(registered):
    Repository.objects.update(measured_at=None, trashed_at=timezone.now())
    assert maintenance.measure_due() == 0
