"""The pages of storage: who may do what, what they show and never show, how they ask."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from backups.models import Archive, Repository, StoragePool
from backups.services import trash
from backups.urls_storage import urlpatterns
from phpborg.crypto import EncryptedField, create_key_file
from phpborg.tasks.models import Task
from phpborg.tasks.states import State

SECRET = "sesame $open 'now'"
VIEW = {"repositories", "pools", "pool", "repository", "storage-trash"}
OPERATE = {"pool-analyse", "repository-sync", "repository-measure", "repository-check", "repository-compact"}


@pytest.fixture
def registered(registered):
    registered.passphrase = EncryptedField.seal(SECRET)
    registered.save()
    return registered


def address(name: str, registered: Repository) -> str:
    if name in ("repositories", "pools", "storage-trash", "pool-new", "repository-new"):
        return reverse(name)
    return reverse(name, args=[registered.pool_id if name.startswith("pool") else registered.pk])


@pytest.mark.parametrize("name", [route.name for route in urlpatterns])
@pytest.mark.parametrize("who", ["alice", "bob", "diane", "charlie", None])
def test_who_may_open_what(registered, client_of, client, request, name, who):
    visitor = client if who is None else client_of(request.getfixturevalue(who))
    allowed = {"alice": True, "bob": name in VIEW | OPERATE, "diane": name in VIEW}.get(who or "", False)
    before = Task.objects.count()
    for method in (visitor.get, visitor.post):
        status = method(address(name, registered)).status_code
        if allowed:
            assert status not in (403, 500)
        elif who in ("bob", "diane"):
            assert status in (403, 405)
        else:
            assert status == 302
    if not allowed:
        assert Task.objects.count() == before


@pytest.mark.parametrize("name", sorted(VIEW))
def test_no_page_holds_a_secret(registered, client_of, alice, name):
    html = client_of(alice).get(address(name, registered), follow=True).content.decode()
    assert SECRET not in html
    assert str.__str__(registered.passphrase) not in html
    assert "sesame" not in html


@pytest.mark.parametrize("name", ["repositories", "pool", "repository", "storage-trash"])
def test_pages_of_readers_offer_no_button_that_they_may_not_press(registered, client_of, diane, name):
    html = client_of(diane).get(address(name, registered)).content.decode()
    main = html.partition('<main id="main"')[2].partition("</main>")[0]
    assert main
    assert "<form" not in main.replace('<form class="filters"', "")


def test_the_pages_say_what_is_unknown(registered, client_of, diane):
    html = client_of(diane).get(address("repository", registered)).content.decode()
    assert "Never checked" in html
    assert "The key was not exported yet" in html
    assert "None yet" in client_of(diane).get(reverse("repositories")).content.decode()


def test_a_page_opens_when_the_key_file_is_lost_and_what_needs_it_says_so(registered, client_of, alice, settings):
    settings.ENCRYPTION_KEY_FILE = settings.VAR_DIR / "another-key"
    create_key_file(settings.ENCRYPTION_KEY_FILE)
    browser = client_of(alice)
    assert browser.get(address("repository", registered)).status_code == 200
    for name, ask in (
        ("repository-key", browser.get),
        ("repository-sheet", browser.get),
        ("repository-sheet", browser.post),
    ):
        answer = ask(address(name, registered))
        assert answer.status_code == 409
        assert "cannot be decrypted" in answer.content.decode()
    answer = browser.post(address("repository-break-lock", registered), {"confirmed": "1"}, follow=True)
    assert "cannot be decrypted" in answer.content.decode()


def test_a_new_pool_is_made_and_a_bad_path_is_explained_beside_its_field(client_of, alice, root):
    browser = client_of(alice)
    fields = {"name": "disk", "path": "/etc/x", "threshold_percent": "85"}
    answer = browser.post(reverse("pool-new"), fields)
    assert answer.status_code == 422
    assert "It is a directory of the system." in answer.content.decode()
    answer = browser.post(reverse("pool-new"), {**fields, "path": str(root / "disk")})
    assert answer.status_code == 303
    assert StoragePool.objects.get().path == str(root / "disk")


def test_without_a_pool_a_repository_cannot_be_begun(client_of, alice):
    assert client_of(alice).get(reverse("repository-new")).url == reverse("pool-new")


@pytest.fixture
def filled(pool) -> dict[str, str]:
    return {
        "name": "new one",
        "pool": str(pool.pk),
        "encryption": "repokey-blake2",
        "source": "generate",
        "compression": "zstd,3",
    }


@pytest.mark.real
def test_a_generated_passphrase_is_shown_exactly_once(client_of, alice, filled, caplog):
    browser = client_of(alice)
    answer = browser.post(reverse("repository-new"), filled)
    assert answer.status_code == 303
    made = Repository.objects.get()
    passphrase = made.passphrase.reveal()
    page = answer.url
    assert passphrase not in page
    # Neither the session (a row of the database) nor the log holds it.
    assert passphrase not in str(dict(browser.session))
    assert passphrase not in caplog.text
    first = browser.get(page)
    assert passphrase in first.content.decode()
    assert "no-store" in first.headers["Cache-Control"]
    second = browser.get(page, follow=True)
    assert passphrase not in second.content.decode()
    assert "shown already" in second.content.decode()


@pytest.mark.real
def test_a_typed_passphrase_is_kept_to_the_last_space(client_of, alice, filled):
    typed = "  spaces ' $HOME \" \\ count "
    answer = client_of(alice).post(
        reverse("repository-new"), {**filled, "source": "type", "passphrase": typed, "repeated": typed}
    )
    made = Repository.objects.get()
    assert answer.url == made.get_absolute_url()
    assert made.passphrase.reveal() == typed


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"passphrase": "one", "repeated": "two"}, "The two are not the same."),
        ({"passphrase": "one ", "repeated": "one"}, "The two are not the same."),
        ({}, "Type a passphrase"),
        ({"passphrase": "x", "repeated": "x", "name": ""}, "This field is required."),
        ({"passphrase": "x", "repeated": "x", "encryption": "keyfile"}, "Select a valid choice"),
    ],
)
def test_a_mistyped_passphrase_makes_nothing_and_is_not_echoed(client_of, alice, filled, given, words):
    answer = client_of(alice).post(reverse("repository-new"), {**filled, "source": "type", **given})
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert 'value="one' not in answer.content.decode()
    assert not Repository.objects.exists()


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_the_lock_is_not_broken_by_a_direct_post_while_a_task_runs(registered, client_of, request, who):
    lock = Path(registered.path) / "lock.exclusive"
    lock.mkdir()
    (lock / "elsewhere@1.77-0").touch()
    Task.objects.create(kind="backup", queue="backup", state=State.RUNNING, repository_ref=registered.pk)
    browser = client_of(request.getfixturevalue(who))
    answer = browser.post(address("repository-break-lock", registered), {"confirmed": "1"}, follow=True)
    assert answer.status_code == (200 if who == "alice" else 403)
    if who == "alice":
        assert "is in use" in answer.content.decode()
    assert list(lock.iterdir())


@pytest.mark.real
def test_the_lock_of_another_host_is_broken_after_a_question(repository, client_of, alice):
    lock = Path(repository.path) / "lock.exclusive"
    lock.mkdir()
    (lock / "elsewhere@1.77-0").touch()
    browser = client_of(alice)
    assert "elsewhere@1 (process 77)" in browser.get(repository.get_absolute_url()).content.decode()
    question = browser.post(address("repository-break-lock", repository))
    assert question.status_code == 200
    assert "elsewhere@1" in question.content.decode()
    assert lock.exists()
    assert browser.post(address("repository-break-lock", repository), {"confirmed": "1"}).status_code == 303
    assert not lock.exists()


def test_into_the_trash_only_with_the_typed_name(registered, client_of, alice):
    browser = client_of(alice)
    page = address("repository-trash", registered)
    for fields, status in (({}, 200), ({"confirmed": "1"}, 422), ({"confirmed": "1", "typed": "Office"}, 422)):
        assert browser.post(page, fields).status_code == status
        registered.refresh_from_db()
        assert registered.trashed_at is None
    assert browser.post(page, {"confirmed": "1", "typed": "office"}).status_code == 303
    registered.refresh_from_db()
    assert registered.trashed_at
    html = browser.get(reverse("storage-trash")).content.decode()
    assert "office" in html
    assert (
        "office"
        not in browser.get(reverse("repositories"))
        .content.decode()
        .partition('id="content"')[2]
        .partition("</main>")[0]
    )
    assert "In the trash" in browser.get(registered.get_absolute_url()).content.decode()
    browser.post(address("repository-untrash", registered))
    registered.refresh_from_db()
    assert registered.trashed_at is None


def test_the_purge_wants_the_name_and_only_what_is_in_the_trash(registered, client_of, alice):
    browser = client_of(alice)
    sure = {"confirmed": "1", "typed": "office"}
    page = address("repository-purge", registered)
    assert "is not in the trash" in browser.post(page, sure, follow=True).content.decode()
    trash.move_to_trash(repository=registered, typed_name="office")
    assert browser.post(page).status_code == 200
    assert browser.post(page, {"confirmed": "1", "typed": "x"}).status_code == 422
    assert not Task.objects.filter(kind=trash.PURGE).exists()
    assert browser.post(page, sure).status_code == 303
    assert Task.objects.get(kind=trash.PURGE).requested_by == alice


@pytest.mark.parametrize("name", ["sync", "measure", "compact", "check"])
def test_maintenance_is_queued_once_and_named(registered, client_of, bob, name):
    browser = client_of(bob)
    fields = {"mode": "data"} if name == "check" else {}
    answer = browser.post(address(f"repository-{name}", registered), fields)
    assert (answer.status_code, answer.url) == (303, registered.get_absolute_url())
    task = Task.objects.get()
    assert (task.kind, task.requested_by, task.exclusive) == (name, bob, registered.exclusive)
    assert task.params == fields
    answer = browser.post(address(f"repository-{name}", registered), fields, follow=True)
    assert "already waiting or running" in answer.content.decode()
    assert Task.objects.count() == 1
    assert f'id="task-row-{task.pk}"' in answer.content.decode()


def test_a_check_of_an_unknown_depth_is_not_queued(registered, client_of, bob):
    client_of(bob).post(address("repository-check", registered), {"mode": "repair"})
    assert not Task.objects.exists()


def test_a_rolled_back_repository_is_explained_and_can_be_accepted_by_name(registered, client_of, alice, bob):
    Task.objects.create(
        kind="sync",
        queue="system",
        state=State.FAILED,
        error_code="BRG-12",
        repository_ref=registered.pk,
        exclusive=registered.exclusive,
        finished_at=timezone.now(),
    )
    html = client_of(bob).get(registered.get_absolute_url()).content.decode()
    assert "older than it was at the last contact" in html
    assert "accept-older" not in html
    browser = client_of(alice)
    assert "accept-older" in browser.get(registered.get_absolute_url()).content.decode()
    page = address("repository-accept-older", registered)
    assert browser.post(page, {"confirmed": "1", "typed": "no"}).status_code == 422
    assert browser.post(page, {"confirmed": "1", "typed": "office"}).status_code == 303
    assert Task.objects.filter(kind="accept_older").exists()


@pytest.mark.real
def test_a_move_names_both_places_and_asks_once(repository, hand, client_of, alice):
    hand.archive("one")
    old, new = repository.path, f"{repository.pool.path}/moved"
    Path(old).rename(new)
    browser = client_of(alice)
    page = address("repository-move", repository)
    assert browser.post(page, {"path": "/etc/x"}).status_code == 422
    question = browser.post(page, {"path": new})
    assert question.status_code == 200
    for place in (old, new):
        assert place.replace("'", "&#x27;") in question.content.decode()
    repository.refresh_from_db()
    assert repository.path == old
    assert browser.post(page, {"path": new, "confirmed": "1"}).status_code == 303
    repository.refresh_from_db()
    assert repository.path == new


@pytest.mark.real
def test_key_and_sheet_are_for_administrators_and_the_passphrase_is_asked_for(repository, client_of, alice, caplog):
    browser = client_of(alice)
    passphrase = repository.passphrase.reveal()
    shown = browser.get(address("repository-key", repository))
    assert "BORG_KEY" in shown.content.decode()
    assert "no-store" in shown.headers["Cache-Control"]
    sheet = browser.get(address("repository-sheet", repository)).content.decode()
    assert "BORG PAPER KEY" in sheet
    assert repository.borg_id in sheet
    assert "日本" not in sheet
    repository.refresh_from_db()
    assert repository.key_exported_at is None
    with caplog.at_level("WARNING"):
        sheet = browser.post(address("repository-sheet", repository)).content.decode()
    assert "日本" in sheet
    assert "was shown to alice" in caplog.text
    assert passphrase not in caplog.text
    file = browser.post(address("repository-key-download", repository))
    assert file.content.decode().startswith("BORG_KEY")
    assert "attachment" in file.headers["Content-Disposition"]
    repository.refresh_from_db()
    assert repository.key_exported_at


def test_lists_ask_a_constant_number_of_questions_at_full_size(client_of, alice):
    call_command("seed", servers=50, jobs=200, archives=3000, tasks=200)
    one = Repository.objects.first()
    browser = client_of(alice)
    browser.get(reverse("repositories"))
    for page, most in ((reverse("repositories"), 20), (one.get_absolute_url(), 25), (one.pool.get_absolute_url(), 20)):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert browser.get(page).status_code == 200
        assert len(queries) <= most, [query["sql"][:100] for query in queries]


def test_the_overview_filters_and_counts(registered, client_of, diane):
    Archive.objects.create(repository=registered, name="a", borg_id="1" * 64, started_at=timezone.now())
    gone = {"missing_at": timezone.now(), "started_at": timezone.now()}
    Archive.objects.create(repository=registered, name="b", borg_id="2" * 64, **gone)
    browser = client_of(diane)
    assert "office" in browser.get(reverse("repositories"), {"q": "OFF"}).content.decode()
    assert "No repository matches" in browser.get(reverse("repositories"), {"q": "zzz"}).content.decode()
    assert browser.get(reverse("repositories"), {"pool": "not an id"}).status_code == 200
    html = browser.get(registered.get_absolute_url()).content.decode()
    assert "1 archive was removed outside of phpBorg" in html


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("name", sorted(VIEW))
def test_pages_render_in_both_languages(registered, client_of, alice, name, language):
    alice.language = language
    alice.save()
    assert client_of(alice).get(address(name, registered), follow=True).status_code == 200
