"""Mail: a failure at once and then rarely, one "recovered", and never any harm to the backup."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from notifications.models import FailureNotice, MailSettings
from notifications.services import mailing, rules
from phpborg.accounts.models import User
from phpborg.crypto import EncryptedField
from phpborg.tasks import registry
from phpborg.tasks.context import StopSignal
from phpborg.tasks.models import Task
from phpborg.tasks.states import State
from tests.support.smtp import MailSink, mail_sink

__all__ = ["mail_sink"]
pytestmark = pytest.mark.django_db
Run = Callable[..., list[Task]]
ClientOf = Callable[[User], Client]
JOB = uuid.UUID(int=7)


@pytest.fixture
def mail(mail_sink: MailSink) -> MailSettings:
    """Mail to the sink, for a French reader and for somebody who has no account."""
    row = MailSettings.load()
    row.enabled, row.host, row.port, row.security = True, "127.0.0.1", mail_sink.port, "none"
    row.sender, row.recipients = "phpborg@example.net", "ops@example.net, alice@example.net"
    row.save()
    User.objects.create_user("alice2", email="alice@example.net", language="en", role="admin")
    return row


def ended(state: State, *, kind: str = "backup", subject: str = "web", code: str = "") -> Task:
    """A task that has just ended, as the runner tells everybody."""
    now = timezone.now()
    task = Task.objects.create(
        kind=kind,
        queue="backup",
        state=state,
        subject=subject,
        job_ref=JOB,
        started_at=now - timedelta(seconds=90),
        finished_at=now,
        error_code=code,
        result={"archive_name": "web-0001-20261125T020000Z-0002"} if state.is_good else {},
    )
    registry.task_finished.send_robust(sender=Task, task=task)
    return task


def test_a_failure_is_told_to_each_reader_in_their_language(
    mail: MailSettings, mail_sink: MailSink, run_pending: Run
) -> None:
    task = ended(State.FAILED, code="TSK-01")
    run_pending()
    by_reader = {letter["To"]: letter for letter in mail_sink.letters}
    assert set(by_reader) == {"ops@example.net", "alice@example.net"}
    english = by_reader["alice@example.net"]
    assert english["Subject"] == "[phpBorg] Failed: Backup web"
    text = english.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "The worker that ran this task disappeared." in text
    assert "Europe/Paris" in text
    assert task.get_absolute_url() in text
    html = english.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert '<html lang="en">' in html
    assert '<html lang="fr">' in by_reader["ops@example.net"].get_body(("html",)).get_content()  # type: ignore[union-attr]


def test_a_job_that_fails_every_minute_is_told_once_a_day_and_recovers_once(
    mail: MailSettings, mail_sink: MailSink, run_pending: Run
) -> None:
    mail.recipients = "ops@example.net"
    mail.save()
    for _ in range(60):
        ended(State.FAILED)
    run_pending()
    assert len(mail_sink.letters) == 1
    FailureNotice.objects.update(told_at=timezone.now() - timedelta(days=1))
    ended(State.FAILED)
    ended(State.SUCCESS)
    ended(State.SUCCESS)
    run_pending()
    assert len(mail_sink.letters) == 3
    assert FailureNotice.objects.count() == 0


@pytest.mark.parametrize("state", [State.SUCCESS, State.NOTES, State.CANCELLED])
def test_what_went_well_or_was_cancelled_is_not_told(mail: MailSettings, state: State) -> None:
    ended(state)
    assert not Task.objects.filter(kind="mail_send").exists()


def test_a_name_with_line_breaks_cannot_add_headers(mail: MailSettings, mail_sink: MailSink, run_pending: Run) -> None:
    ended(State.FAILED, subject="web\r\nBcc: evil@example.net\r\n\r\nbody")
    run_pending()
    assert all(letter["Bcc"] is None for letter in mail_sink.letters)
    assert all("\n" not in letter["Subject"] for letter in mail_sink.letters)


def test_a_closed_port_is_recorded_and_tried_again_a_few_times(
    mail: MailSettings, run_pending: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(StopSignal, "wait", lambda self, seconds: pauses.append(seconds))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        mail.port = closed.getsockname()[1]
        mail.save()
        failed = ended(State.FAILED)
        (letter,) = run_pending("mail_send")
    assert (letter.state, letter.error_code) == (State.FAILED, "MAIL-04")
    assert pauses == [20, 120]
    failed.refresh_from_db()
    assert failed.state == State.FAILED


def test_a_black_hole_ends_within_the_time_limit(
    mail: MailSettings, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail_sink.is_silent = True
    monkeypatch.setattr(mailing, "TIMEOUT_SECONDS", 1)
    with pytest.raises(mailing.MailUnreachable):
        mailing.send(mailing.Letter("test", {}), ["ops@example.net"], mail)


def test_a_refusal_for_good_is_not_repeated_and_not_quoted(
    mail: MailSettings, mail_sink: MailSink, run_pending: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(StopSignal, "wait", lambda self, seconds: pauses.append(seconds))
    mail_sink.answers["MAIL"] = "550 internal-host-secret says no"
    ended(State.FAILED)
    (letter,) = run_pending("mail_send")
    assert (letter.error_code, letter.error_facts, pauses) == ("MAIL-03", {"status": 550}, [])
    assert "internal-host-secret" not in letter.error_detail + letter.log_tail


def test_a_broken_rule_does_not_touch_the_task(mail: MailSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "task_ended", lambda task: 1 / 0)
    assert ended(State.FAILED).state == State.FAILED


def test_the_password_is_write_only(mail: MailSettings, alice: User, client_of: ClientOf) -> None:
    mail.password = EncryptedField.seal("hush-hush-secret")
    mail.save()
    client, route = client_of(alice), reverse("mail-settings")
    assert b"hush-hush-secret" not in client.get(route).content
    form = {"enabled": "on", "host": "127.0.0.1", "port": "25", "security": "none", "sender": "a@example.net"}
    assert client.post(route, form).status_code == 302
    mail.refresh_from_db()
    assert mail.password.reveal() == "hush-hush-secret"
    assert client.post(route, {**form, "forget_password": "on"}).status_code == 302
    mail.refresh_from_db()
    assert not mail.password
    assert b"forget_password" not in client.get(route).content  # nothing is left to forget


@pytest.mark.parametrize(
    "bad", [{"host": "-oX"}, {"host": "a b"}, {"recipients": "nobody"}, {"port": "0"}, {"sender": ""}]
)
def test_bad_settings_get_a_sentence(mail: MailSettings, alice: User, client_of: ClientOf, bad: dict[str, str]) -> None:
    form = {"enabled": "on", "host": "127.0.0.1", "port": "25", "security": "none", "sender": "a@example.net"}
    answer = client_of(alice).post(reverse("mail-settings"), {**form, **bad})
    assert answer.status_code == 422
    assert b"field__error" in answer.content


def test_only_an_administrator_sees_or_tests_mail(bob: User, diane: User, client_of: ClientOf) -> None:
    for person in (bob, diane):
        assert client_of(person).get(reverse("mail-settings")).status_code == 403
        assert client_of(person).post(reverse("mail-test"), {"address": "a@example.net"}).status_code == 403
