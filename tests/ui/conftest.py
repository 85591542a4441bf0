"""The frame is tested on addresses of its own."""

from __future__ import annotations

import pytest
from django.core.cache import cache


@pytest.fixture
def routes(settings):
    """Every route that the frame names exists."""
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    settings.ROOT_URLCONF = "tests.ui.urls"
    cache.clear()
