"""The server's policy says where a volume may be held to be filled."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from servers.remote import wire
from servers.remote.dockers.mounting import HoldVolume


class FakeEngine:
    """It has one volume, with these options."""

    def __init__(self, **options: str) -> None:
        self._options = options

    def find(self, path: str) -> dict[str, Any]:
        return {"Name": "data", "Options": self._options}


@pytest.mark.parametrize(
    ("path", "device", "allowed"),
    [
        ("/srv/volumes/data/_data", "", True),
        ("/var/lib/docker/volumes/data/_data", "", False),
        ("/srv/volumes/data/_data", "/etc", False),
        ("/srv/volumes/data/_data", "/srv/../etc", False),
        ("/srv/volumes/data/_data", "/srv//x/", True),
        ("/srv/volumes/data/_data", ":/export", True),
    ],
)
def test_a_volume_of_a_fake_engine_is_held_only_where_files_may_be_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, device: str, allowed: bool
) -> None:
    monkeypatch.setattr("servers.remote.places.POLICY", str(tmp_path / "policy.json"))
    (tmp_path / "policy.json").write_text('{"restore_roots": ["/srv"]}')
    context: Any = SimpleNamespace(engine=FakeEngine(device=device), token="abcdef12-3456", number=1)
    if allowed:
        assert HoldVolume(context, {"volume": "data", "path": path}).prepare()["path"] == path
        return
    with pytest.raises(wire.Refused) as refused:
        HoldVolume(context, {"volume": "data", "path": path}).prepare()
    assert refused.value.code == "policy"
