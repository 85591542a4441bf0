"""The whole product in a browser: one Chromium for the lane, products as the tests need them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.browser import chromium as running_chromium


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser for the tests of one module."""
    with running_chromium() as browser:
        yield browser


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """A test that failed with a page open leaves a picture of it beside its temporary files."""
    report = yield
    if call.when == "call" and call.excinfo and "chromium" in getattr(item, "funcargs", {}):
        pages = [page for context in item.funcargs["chromium"].contexts for page in context.pages]
        for number, page in enumerate(pages):
            path = f"{item.funcargs['tmp_path']}/failed-{number}.png" if "tmp_path" in item.funcargs else ""
            if path:
                page.screenshot(path=path, full_page=True)
                report.sections.append(("page", f"{page.url}\n{path}"))
    return report
