"""What an engine and Compose quote of what they were given is in no finding, mail or error."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from servers.remote import children, wire
from servers.remote.dockers import composing, hiding, holding, looking
from servers.remote.dockers.steps import Context

CANARY = 'canary "pass"\\word'


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"type": "cifs", "device": "//files/s", "o": f"addr=files,username=u1,password={CANARY}"}, "bad option {}"),
        ({"token": CANARY}, "the plugin said: {}"),
        ({"o": f"password={CANARY}"}, "mount: 'addr=x,password={}': invalid"),
        ({"device": f"https://me:{CANARY.replace(' ', '')}@host/x"}, "cannot reach {}"),
    ],
    ids=str,
)
def test_a_fake_engine_quotes_an_option_and_nobody_reads_it(options: dict[str, str], words: str) -> None:
    secret = CANARY.replace(" ", "") if "device" in options and "@" in options["device"] else CANARY
    quoted = [secret, secret.replace("\\", "\\\\").replace('"', '\\"')]

    class FakeEngine:
        def find(self, *args: Any, **query: Any) -> None:
            return None

        def send(self, *args: Any, **query: Any) -> None:
            raise wire.Refused("engine", words.format(" ".join(quoted)), status=500)

    holder = holding.Holder(FakeEngine(), "t" * 8)  # type: ignore[arg-type]
    with pytest.raises(wire.Refused) as refused:
        holder.hold({"Name": "v", "Options": options})
    assert "canary" not in refused.value.message
    assert (refused.value.code, refused.value.facts) == ("engine", {"status": 500})


def test_what_a_mistake_is_found_by_stays() -> None:
    options = {"type": "nfs", "device": ":/export/data", "o": "addr=10.0.0.9,nfsvers=4,soft,rw"}
    text = "mount :/export/data addr=10.0.0.9,nfsvers=4: connection refused"
    assert hiding.hidden(text, hiding.of_options(options)) == text


def test_values_of_an_environment_are_hidden_and_common_words_are_not() -> None:
    rows = ["PASSWORD=pw", "MODE=true", "URL=postgres://me:pw99@db/x", "LONG=a-long-value", "EMPTY_KEY="]
    said = "true: pw, a-long-value, pw99"
    assert hiding.hidden(said, hiding.of_environment(rows)) == "true: ***, ***, ***"


def test_fake_compose_quotes_a_line_of_a_file_and_nobody_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("DB_PASSWORD=canary-of-env\n")
    (tmp_path / "more.env").write_text("API_TOKEN='canary-of-more'\n")
    os.mkfifo(tmp_path / "fifo.env")
    told: list[bytes] = []

    class FakeEngine:
        path = "/x.sock"

        def get(self, path: str, **query: Any) -> list[dict[str, str]]:
            return [{"Id": "1"}]

        def container(self, name: str) -> dict[str, Any]:
            return {"Id": "1", "Name": "/x", "Config": {"Env": ["KEY=canary-of-container"]}}

    def capture(argv: list[str], control: Any, on_line: Any, **more: Any) -> tuple[int, bytes]:
        on_line(b"line 1: DB_PASSWORD=canary-of-env canary-of-more")
        on_line(b"canary-of-container is no number")
        return 1, b""

    monkeypatch.setattr(children, "capture", capture)
    monkeypatch.setattr(looking, "compose", lambda _: {"command": "docker-compose"})
    monkeypatch.setattr(wire, "write_all", lambda _, data: told.append(data))
    context: Any = Context(FakeEngine(), "t" * 8, None, None, [], 1)  # type: ignore[arg-type]
    files = [str(tmp_path / "more.env"), str(tmp_path / "fifo.env"), str(tmp_path / "missing.env")]
    step = composing.ComposeUp(context, {"project": "x", "working_dir": str(tmp_path), "env_files": files})
    with pytest.raises(wire.Refused) as refused:
        step.apply(lambda more: None)
    assert "is no number" in refused.value.message
    assert "canary" not in refused.value.message
    assert b"canary-of-env" not in b"".join(told)
