"""Fixtures of the tests in a browser: a Chromium, and a directory where pictures are kept."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest

from support.client import DEADLINE_S
from support.fixtures import client, connect, contract, name, root, server, start_server
from system.browser.chromium import Page, browsing

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["client", "connect", "contract", "name", "root", "server", "start_server"]


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
