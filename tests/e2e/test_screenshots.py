"""Pictures of the pages, to be looked at: French and English, light and dark, desktop and phone.

They go to $PHPBORG_SCREENSHOTS; without it only the two looks that differ most are taken and judged. With
PHPBORG_UPDATE_IMAGES=1 the two pictures of the README are made again. Real backups fill the pages; a
second product holds an invented fleet.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import Visitor, visit
from tests.support.estate import Estate, running_estate
from tests.support.product import HOME, Product, eventually

pytestmark = pytest.mark.browser
_ALL = tuple((scheme, width) for scheme in ("light", "dark") for width in (1280, 375))
LOOKS = _ALL if os.environ.get("PHPBORG_SCREENSHOTS") else (("light", 1280), ("dark", 375))
TALLEST = 1800
SHOWN = (
    *("server", "identity", "job", "archive", "browse", "restore-options", "repository", "pool", "task-incomplete"),
    *("wizard-folders", "wizard-schedule", "wizard-review"),
)
# A button or a label whose words break after each letter.
SQUEEZED = """() => [...document.querySelectorAll('.button, .chip, .badge')]
  .filter(element => element.offsetWidth && element.offsetHeight > Math.max(80, 1.5 * element.offsetWidth))
  .map(element => element.textContent.trim())"""
README = {"dashboard": "dashboard.png", "task-live": "live-backup.png"}


@dataclass
class Photographer:
    """One signed-in person for each look; `take` makes the pictures of a page."""

    browser: Any
    product: Product
    album: Path
    problems: list[str]

    def __post_init__(self) -> None:
        self.windows: dict[tuple[str, int], Visitor] = {}

    def window(self, scheme: str, width: int) -> Visitor:
        if (scheme, width) not in self.windows:
            viewport = {"width": width, "height": 900 if width > 600 else 812}
            options = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2} if width < 600 else {}
            self.windows[scheme, width] = visit(
                self.browser, self.product, "alice", viewport=viewport, color_scheme=scheme, **options
            )
        return self.windows[scheme, width]

    def take(self, pages: dict[str, str], language: str) -> None:
        self.product.python(f"from phpborg.accounts.models import User; User.objects.update(language={language!r})")
        for name, address in pages.items():
            for scheme, width in LOOKS:
                self._shoot(self.window(scheme, width), name, address, f"{language}-{scheme}-{width}")

    def _shoot(self, alice: Visitor, name: str, address: str, look: str) -> None:
        alice.open(address)
        page = alice.page
        assert page.locator("html").get_attribute("lang") == look[:2]
        page.wait_for_timeout(300)
        before, height = page.viewport_size, page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": before["width"], "height": max(before["height"], min(height, TALLEST))})
        path = self.album / f"{name}-{look}.png"
        page.screenshot(path=path, caret="initial")  # hiding it would leave style attributes behind
        page.set_viewport_size(before)
        if alice.overflow() > 0:
            self.problems.append(f"{path.name} is {alice.overflow()} px too wide")
        self.problems += [f"{path.name} squeezes “{words}”" for words in page.evaluate(SQUEEZED)]
        self.problems += alice.problems
        alice.problems.clear()


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures go."""
    wanted = os.environ.get("PHPBORG_SCREENSHOTS")
    place = Path(wanted) if wanted else tmp_path_factory.mktemp("screenshots")
    place.mkdir(parents=True, exist_ok=True)
    return place


@pytest.fixture(scope="module")
def source() -> Iterator[Path]:
    """A tree as an office has it, in a place that looks like one in the pictures."""
    place = Path(tempfile.mkdtemp(prefix="office-", dir="/srv"))
    place.chmod(0o755)
    make_documents(place)
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def estate(source: Path) -> Iterator[Estate]:
    """Two servers with jobs that have run: good ones, one incomplete, a large one that is slow from now on."""
    with running_estate(PHPBORG_APPLICATION_NAME="phpBorg") as made:
        made.add_server("web-01.example.org", made.one, "root")
        made.add_server("files.example.org", made.two, made.lab.account)
        made.add_job("Documents", "files.example.org", source / "documents")
        made.add_job("Configuration", "web-01.example.org", Path("/etc/ssh"), Path("/etc/apt"))
        made.add_job("Websites", "web-01.example.org", source / "www", source / "gone")
        made.add_job("Media", "files.example.org", source / "media", options=("--compression", "none"))
        for name in ("Documents", "Configuration", "Websites", "Media", "Documents"):
            made.run(name)
        made.product.python(
            "from backups.models import BackupJob; BackupJob.objects.filter(name='Media').update(upload_rate_kib=900)"
        )
        yield made


def make_documents(place: Path) -> None:
    """Letters, contracts, a website and films."""
    for folder in ("documents/contracts/2025", "documents/contracts/2026", "documents/letters", "www/site", "media"):
        (place / folder).mkdir(parents=True)
    (place / "documents/letters/réponse à Mme Dupont.txt").write_text("Madame,\n\nvotre dossier est complet.\n")
    (place / "documents/notes.md").write_text("# Notes\n\n* restore test in June\n")
    for number in range(12):
        (place / f"documents/contracts/2026/contract-{number:03}.pdf").write_bytes(os.urandom(40_000 + 9_000 * number))
    (place / "www/site/index.html").write_text("<h1>Hello</h1>")
    make_films(place / "media")


def make_films(place: Path) -> None:
    """New ones each time: there is something to send."""
    for number in range(60):
        (place / f"film-{number:02}.mkv").write_bytes(os.urandom(1_000_000))


@pytest.fixture(scope="module")
def fleet() -> Iterator[Product]:
    """500 servers that were never there."""
    product = Product()
    product.prepare()
    product.manage("seed", timeout=600)
    product.create_user("alice")
    # Nothing becomes due while the pictures are made.
    product.python(
        "from datetime import timedelta; from django.db.models import F; from backups.models import Schedule\n"
        "Schedule.objects.update(next_run_at=F('next_run_at') + timedelta(hours=20))"
    )
    product.start({"quick": ("quick",)})
    yield product
    product.stop()
    shutil.rmtree(product.root, ignore_errors=True)


def addresses(estate: Estate) -> dict[str, str]:
    """Pages with something on them."""
    code = (
        "import json; from tests.e2e import inside\n"
        "found = inside.addresses('Documents', 'letters', 'notes.md')\n"
        "found['task-incomplete'] = inside.last_task('Websites')\n"
        "found['identity'] = inside.new_server('mail.example.org', like='web-01.example.org')\n"
        "print(json.dumps(found))"
    )
    found = dict(json.loads(estate.product.python(code)))
    return {
        **{name: found[name] for name in SHOWN},
        "setup": f"{found['server']}enrol/?step=setup",
        "storage": "/storage/",
        "workers": "/tasks/workers/",
        "server-add": "/servers/add/",
        "first-run": "/first-run/",
        "admin": "/admin/",
        "mail": "/settings/mail/",
        "tasks-small": "/tasks/",
        "dashboard-small": "/",
        "preferences": "/account/preferences/",
    }


def test_pages_of_a_small_installation(chromium: Any, estate: Estate, source: Path, album: Path) -> None:
    problems: list[str] = []
    camera = Photographer(chromium, estate.product, album, problems)
    pages = addresses(estate)
    for language in ("fr", "en"):
        make_films(source / "media")
        task = estate.start("Media")
        eventually(lambda task=task: estate.task(task)["progress"].get("share"), 60, "nothing is transferred")
        camera.take({"task-live": f"/tasks/{task}/", "server-live": pages["server"]}, language)
        estate.product.manage("task", "cancel", task)
        estate.wait(task)
        camera.take(pages, language)
    assert not problems, "\n".join(problems)
    _keep(album, "task-live")


def test_pages_of_a_large_fleet(chromium: Any, fleet: Product, album: Path) -> None:
    problems: list[str] = []
    camera = Photographer(chromium, fleet, album, problems)
    pages = {
        "dashboard": "/",
        "fleet": "/servers/",
        "jobs": "/jobs/",
        "archives": "/archives/",
        "tasks": "/tasks/",
        "storage": "/storage/",
        "admin-archives": "/admin/backups/archive/",
    }
    for language in ("fr", "en"):
        camera.take(pages, language)
    assert not problems, "\n".join(problems)
    _keep(album, "dashboard")


def _keep(album: Path, name: str) -> None:
    """The README's picture, when it is asked for."""
    if os.environ.get("PHPBORG_UPDATE_IMAGES") == "1":
        target = HOME / "docs/images" / README[name]
        target.parent.mkdir(exist_ok=True)
        shutil.copy(album / f"{name}-en-light-1280.png", target)
