"""The command `docker-restore` refuses what no form would take, before anything is looked at."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from dockerops.management import docker_restore
from dockerops.models import DockerRestore
from phpborg.tasks.models import Task
from tests.dockerops import rows, sample
from tests.dockerops.test_from_dumps import dumped

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("option", "value"),
    [("--hours", "0"), ("--hours", "-5"), ("--hours", "745"), ("--port-shift", "0"), ("--port-shift", "64001")],
)
def test_numbers_that_no_form_would_take_are_refused(option: str, value: str) -> None:
    archive = rows.archive()
    with pytest.raises(CommandError, match=option) as refused:
        call_command("docker-restore", archive.name, f"{option}={value}", stdout=StringIO())
    assert refused.value.returncode == 2
    assert not DockerRestore.objects.exists()
    assert not Task.objects.exists()


def test_a_database_can_be_had_as_it_lay() -> None:
    parser = docker_restore.Command().create_parser("manage.py", "docker-restore")
    given = vars(parser.parse_args(["a", "--as-it-lay", "kiosk_db_1", "--as-it-lay", "other"]))
    assert docker_restore._options(given).as_it_lay == ("kiosk_db_1", "other")
    docker_restore._check_dumped(sample.contents(dumped()), ["kiosk_db_1"])
    with pytest.raises(CommandError, match="kiosk_web_1") as refused:
        docker_restore._check_dumped(sample.contents(dumped()), ["kiosk_web_1"])
    assert refused.value.returncode == 2
