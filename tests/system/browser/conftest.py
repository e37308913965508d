"""Fixtures of the tests in a browser: a Chromium, and a directory where pictures are kept."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from support.client import DEADLINE_S
from system.browser.chromium import Page, browsing


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a browser."""
    with browsing(tmp_path_factory.mktemp("browser")) as address:
        yield address


@pytest.fixture
def page(browser: str) -> Iterator[Page]:
    """Open an empty page; the browser must not have complained of what was shown in it."""
    request = Request(f"http://{browser}/json/new?about:blank", method="PUT")
    with urlopen(request, timeout=DEADLINE_S) as answer:
        target = json.load(answer)
    page = Page(target["webSocketDebuggerUrl"])
    yield page
    page.close()
    assert page.troubles == []


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Return the directory where pictures are kept."""
    path = Path(os.environ.get("PICTURES", "build/pictures"))
    path.mkdir(parents=True, exist_ok=True)
    return path
