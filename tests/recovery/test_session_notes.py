"""What the page of a session tells of transactions that the archived server had left in doubt."""

from __future__ import annotations

import pytest

from backups.models import Archive
from phpborg.accounts.models import User
from tests.recovery.test_instant_pages import ClientOf, archive, session_of
from tests.tasks.test_pages import text_of

__all__ = ["archive"]
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("prepared", "read_only", "told"),
    [
        (None, True, ""),
        (0, True, ""),
        (1, True, "1 transaction was prepared by its client (XA)"),
        (2, True, "here they are rolled back, in this session alone"),
        (2, False, "In this sandbox they wait as they did on the server"),
    ],
)
def test_what_became_of_transactions_in_doubt_is_told(
    client_of: ClientOf, bob: User, archive: Archive, prepared: int | None, read_only: bool, told: str
) -> None:
    session = session_of(archive, "ready", port=13306, prepared=prepared, is_read_only=read_only)
    text = text_of(client_of(bob).get(session.get_absolute_url()))
    assert ("Transactions in doubt" in text) == bool(told)
    assert told in text
