"""The reader of Compose files: what people write, and that nothing in a file can break the look at a server."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servers.remote.probes import compose_file
from servers.remote.probes.compose_file import Odd

PIECES = [
    *(
        "services:",
        "web:",
        "- ",
        "  ",
        "\n",
        "build: ./x",
        "env_file:",
        "[",
        "]",
        "{",
        "}",
        ",",
        "'",
        '"',
        "#",
        "&a ",
        "*a",
    ),
    *(
        "<<: *a",
        "|",
        ">",
        "!t ",
        "include:",
        "- path: x",
        "secrets:",
        "file: k",
        "$X",
        "${X:-y}",
        "\t",
        ": ",
        "é",
        "---\n",
    ),
    *("...\n", "\\", "~", "null", "%y\n", "?", "@", "`"),
]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: 1\nb: 'it''s'\nc: \"q\\\"x\"\n", {"a": "1", "b": "it's", "c": 'q"x'}),
        ("a:\n- x\n- y: 1\n  z: 2\n", {"a": ["x", {"y": "1", "z": "2"}]}),
        ("a: [x, {b: c, d}, 'e, f']\n", {"a": ["x", {"b": "c", "d": None}, "e, f"]}),
        ("a: [x,\n  y]\nb: {c: d,\n  e: [f]}\n", {"a": ["x", "y"], "b": {"c": "d", "e": ["f"]}}),
        ("a: |\n  text: no key\n\n  more\nb: >-\n  x\nc: 1\n", {"a": None, "b": None, "c": "1"}),
        ("a: &x {b: c}\nd:\n  <<: *x\n  e: f\n", {"a": {"b": "c"}, "d": {"b": "c", "e": "f"}}),
        ("# one\n---\na: b # two\nc: 'd # e'\n...\nz: z\n", {"a": "b", "c": "d # e"}),
        ("a: http://x:80/y#z\n'b c': d\n", {"a": "http://x:80/y#z", "b c": "d"}),
        ("- - a\n  - b\n- c\n", [["a", "b"], "c"]),
    ],
)
def test_what_people_write(text: str, value: Any) -> None:
    assert compose_file.parse(text) == value


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a: b", ("a", "b")),
        ("a :  b c", ("a", "b c")),
        ("a:", ("a", "")),
        ("a:b", None),
        ("a:b: c", ("a:b", "c")),
        ("a # b: c", None),
        ("'a: b': c", ("'a: b'", "c")),
        ("'it''s' : c", ("'it''s'", "c")),
        ('"a\\": b": c', ('"a\\": b"', "c")),
        ("'a' b: c", None),
        ("'a: b", None),
        ("'a':b", None),
        ("-x: y", ("-x", "y")),
        ("- x: y", None),
        ("-: y", None),
        ("<<: *x", ("<<", "*x")),
        ("[a]: b", None),
        ("*a : b", None),
        ("é: x", ("é", "x")),
        ("x" * 5000 + ": y", None),
    ],
)
def test_the_key_of_a_line(line: str, said: tuple[str, str] | None) -> None:
    assert compose_file._key(line) == said


@pytest.mark.parametrize(
    "text", ["a: [b\n", "a: {b: c}}\n", "a:\n   c: d\n e: f\n", "just words\n", "a: b\n" * 7000, "[" * 100 + "\n"]
)
def test_what_is_not_understood_is_said(text: str) -> None:
    with pytest.raises(Odd):
        compose_file.named(text, "/srv")


@pytest.mark.parametrize(
    ("file", "variables", "path"),
    [
        ("${NAME}.env", {"NAME": "web-1.2"}, "/srv/web-1.2.env"),
        ("$DATA/x", {"DATA": "../data 2"}, "/data 2/x"),
        ("${DATA}/x", {"DATA": "/mnt/Ünder/v2"}, "/mnt/Ünder/v2/x"),
        ("${N:-7}.env", {}, "/srv/7.env"),
        ("${KEY_FILE}", {"KEY_FILE": "certs/key.pem"}, "/srv/certs/key.pem"),
        ("${TLS_KEY}", {"TLS_KEY": "/etc/ssl/key.pem"}, "/etc/ssl/key.pem"),
        ("${TLS_KEY}", {"TLS_KEY": "./key.pem"}, "/srv/key.pem"),
        # What is called like a secret, and does not begin as a path does.
        ("${DB_PASSWORD}.env", {"DB_PASSWORD": "hunter2"}, None),
        ("x/${token:-hunter2}/$token", {}, None),
        ("${API_KEY}", {"API_KEY": "/hunter2+A/b"}, None),
        # What is written as no path is, and what looks drawn by lot, whatever it is called.
        ("${X}.env", {"X": "hunter2=="}, None),
        ("${X}.env", {"X": "a:hunter2@b"}, None),
        ("a/${X}/b", {"X": "https://hunter2/x"}, None),
        ("a/${X}/b", {"X": "x/hunter2hunter2Hunter2"}, None),
        ("${A:-${B:-hunter2}}/x", {}, None),
        ("${A:-hunter2", {}, None),
    ],
)
def test_a_value_stands_in_a_path_only_when_it_plainly_is_a_piece_of_one(
    file: str, variables: dict[str, str], path: str | None
) -> None:
    found = compose_file.named(f"secrets:\n  s:\n    file: {file!r}\n", "/srv", variables)
    assert found.files == ([] if path is None else [path])
    assert len(found.unclear) == (path is None)
    assert "unter2" not in repr(found._replace(variables={}))
    if path is None:
        # Its name is still there for people.
        assert any(name in found.unclear[0] for name in ("DB_PASSWORD", "token", "API_KEY", "X", "A"))


def test_a_place_elsewhere_that_a_variable_names_is_no_path() -> None:
    text = "services:\n  web:\n    build: ${REPO}\n  api:\n    build:\n      context: ${REPO}#main:api\n"
    found = compose_file.named(text, "/srv", {"REPO": "https://me:hunter2@example.org/app.git"})
    assert found.builds == []
    assert "hunter2" not in repr(found._replace(variables={}))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join) | st.text(max_size=200))
def test_nothing_in_a_file_breaks_it(text: str) -> None:
    try:
        found = compose_file.named(text, "/srv/app", {"X": "y"})
    except Odd:
        return
    for path in (*found.environment, *found.files, *(build["context"] for build in found.builds)):
        assert path is not None
        assert path.startswith("/")


@pytest.mark.parametrize(
    "text",
    [
        *("a: " + "&x " * 50_000, "- " * 50_000 + "a", "a: " + "{a: " * 50_000, "a: [\n" + "b\n" * 5000),
        *("a" + " " * 250_000 + "b", "a" + "\t" * 250_000 + "b", "- a" + " :x" * 80_000, "'" * 250_001, '"' * 250_001),
        *("'a'" + " " * 250_000 + "b", "-" + "a " * 120_000, "a" + ": b :c" * 40_000),
    ],
    ids=lambda text: text[:8],
)
def test_a_file_that_is_made_to_hurt_is_left(text: str) -> None:
    with suppress(Odd):
        compose_file.named(text, "/srv")
