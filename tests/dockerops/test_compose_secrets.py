"""Of the files of variables, nothing that may be a secret reaches a row of the database."""

from __future__ import annotations

import json

import pytest

from dockerops.manifest import Contents
from tests.dockerops.test_compose_edits import FILE, contents, rewritten, service

TOKEN = "hunter2"


def values(found: Contents) -> dict[str, str]:
    """{key: value} of the Compose file's places."""
    return {one.key: one.value for file in found.compose_files if file.path == FILE for one in file.sites}


@pytest.mark.parametrize(
    "line",
    [
        "container_name: app-${TOKEN}",
        "container_name: ${TOKEN}-${TOKEN}",
        "env_file: ./${TOKEN}.env",
        "env_file: [./a/${TOKEN}]",
        "volumes: ['./${TOKEN}/x:/x']",
        "volumes: [{type: bind, source: './${TOKEN}', target: /x}]",
        "volumes: ['a${TOKEN}:/x']",
        "network_mode: net-${TOKEN}",
        "network_mode: container:c${TOKEN}",
        "volumes_from: ['c${TOKEN}:ro']",
        "external_links: ['c${TOKEN}:x']",
        "build: ${SCHEME}://u:${TOKEN}@git.example/x",
        "build: {context: '${SCHEME}://u:${TOKEN}@git.example/x'}",
        "build: https://u:${TOKEN}@git.example/x",
        "build: ${ADDRESS}",
        "build: ${API_KEY}",
        "ports: ['${PIN}${PIN}:80']",
    ],
)
@pytest.mark.parametrize("more", ["", "name: k${TOKEN}\n", "name: ${TOKEN}\n"])
def test_a_variable_within_a_word_is_not_kept(line: str, more: str) -> None:
    env = f"TOKEN={TOKEN}\nSCHEME=https\nADDRESS=https://u:{TOKEN}@git.example/x\nAPI_KEY=/{TOKEN}\nPIN=47\n"
    found = contents(more + service(line), env)
    made = rewritten(found)
    assert not [secret for secret in (TOKEN, "4747") if secret in json.dumps(found.as_json())]
    assert TOKEN not in json.dumps(made.files) + " ".join(one.sentence for one in made.notes)


def test_an_address_elsewhere_is_no_path_and_nobody_has_to_look() -> None:
    env = "HOST=git.example\nADDRESS=https://git.example/x\nCOMPOSE_PROJECT_NAME=kiosk\n"
    for line in ("build: https://${HOST}/x", "build: ${ADDRESS}", "build: https://${UNKNOWN}/x"):
        assert rewritten(contents(service(line), env)).notes == []


def test_names_that_are_known_anyway_and_plain_paths_are_kept() -> None:
    text = service(
        "container_name: ${STACK}_web_1",
        "env_file: ./${STAGE}.env",
        "volumes: ['${BASE}/data:/x']",
    )
    found = contents("name: ${STACK}\n" + text, "STACK=kiosk\nSTAGE=production\nBASE=/opt/shared\n")
    assert values(found) == {
        "name": "kiosk",
        "services.web.container_name": "kiosk_web_1",
        "services.web.env_file": "./production.env",
        "services.web.volumes[0]": "/opt/shared/data",
    }
