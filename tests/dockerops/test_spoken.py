"""What a server says in its own words is said in the reader's on the pages of a restore and of a drill."""

from __future__ import annotations

import pytest
from django.utils import translation

from dockerops import sentences
from dockerops.templatetags.docker_drill_tags import drill_words
from dockerops.templatetags.docker_tags import container_state, undo_problem


@pytest.fixture(autouse=True)
def french() -> object:
    with translation.override("fr"):
        yield


def test_the_state_of_a_container_in_the_way() -> None:
    said = sentences.conflict("container_taken", {"name": "web", "state": "paused"})
    assert "en pause" in said
    assert "paused" not in said
    assert "stuck" in sentences.conflict("container_taken", {"name": "web", "state": "stuck"})
    assert container_state(None) == ""  # type: ignore[arg-type]


def test_why_something_is_not_in_the_archive() -> None:
    said = sentences.conflict("volume_empty", {"name": "data", "reason": "it is not there"})
    assert "it is not there" not in said
    # What an engine says stays as it is.
    assert "mount: no such device" in sentences.conflict(
        "volume_empty", {"name": "data", "reason": "mount: no such device"}
    )


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "step 12 (exchange): /srv/data: Device or resource busy",
            "Étape 12, «\xa0Mettre en place\xa0»\xa0: /srv/data: Device or resource busy",
        ),
        ("step 3 (odd): x", "Étape 3, «\xa0odd\xa0»\xa0: x"),
        ("step 3 waits: web does not stop", "L’étape 3 en dépend\xa0: web does not stop"),
        ("the engine does not answer", "the engine does not answer"),
    ],
)
def test_what_resists_a_rollback(said: str, shown: str) -> None:
    assert undo_problem(said) == shown


def test_the_state_in_a_sentence_of_a_drill() -> None:
    words = "It is {state}, and it was {wanted}."
    said = drill_words({"words": words, "facts": {"state": "exited", "wanted": "running"}})
    assert "arrêté" in said
    assert "en marche" in said
