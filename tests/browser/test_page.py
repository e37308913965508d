"""The operator's page in a real browser: what is read, what moves, what may not run, and the button that releases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.client import wait_until
from s3_store import run_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from browser.chromium import Page
    from e2e.client import Client
    from e2e.server import ServerProcess

TOKEN = "s3cret"  # noqa: S105 - not a secret
HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.exe"
KEYS = [f"in/{number:04}" for number in range(300)]


@pytest.fixture(scope="module")
def server(start_server: Callable[..., ServerProcess], tmp_path_factory: pytest.TempPathFactory) -> ServerProcess:
    """Start a server that asks for tokens."""
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text(f"team:{TOKEN}\nother:0ther\n")
    return start_server("--token-file", str(tokens))


@pytest.fixture
def signed_in(page: Page) -> Page:
    """Open a page whose user has typed the token."""
    page.sign_in(TOKEN)
    return page


def test_the_page_moves_by_itself(server: ServerProcess, client: Client, signed_in: Page, root: Path, name: str) -> None:
    """A change appears in the open page, whose document stays the same; the switch stops that."""
    client.watch(name, {"directory": str(root)}, token=TOKEN)
    signed_in.open(server.http)
    assert signed_in.text("#health") == "ready"
    assert name in signed_in.text("#watches")
    signed_in.evaluate("window.isSame = true")
    (root / "first").touch()
    wait_until(lambda: "first" in signed_in.text("#recent"), "the change is shown")
    signed_in.click("#live")
    assert signed_in.evaluate("!document.querySelector('#live').checked && window.isSame")


def test_strange_names_are_text(server: ServerProcess, client: Client, signed_in: Page, root: Path) -> None:
    """Names that are markup or turn the direction of text are shown as they are written, and nothing of them runs."""
    client.watch(HOSTILE, {"directory": str(root)}, token=TOKEN)
    (root / HOSTILE).touch()
    signed_in.open(server.http)
    for part in ("#watches", "#recent"):
        wait_until(lambda: "<img src=x onerror=alert(1)>\\u202egnp.exe" in signed_in.text(part), f"the name is in {part}")  # noqa: B023 - called here
    assert signed_in.evaluate("document.querySelectorAll('img').length") == 0


def test_without_scripts(server: ServerProcess, client: Client, signed_in: Page, root: Path, name: str) -> None:
    """Where scripts are off all of it can be read, and the page asks to be loaded again."""
    stream = client.watch(name, {"directory": str(root)}, token=TOKEN)
    (root / "here").touch()
    stream.wait_count(1)
    signed_in.call("Emulation.setScriptExecutionDisabled", value=True)
    signed_in.open(server.http)
    assert name in signed_in.text("#watches")
    assert "here" in signed_in.text("#recent")
    assert signed_in.evaluate("document.querySelector('label').hidden")
    assert signed_in.evaluate("document.querySelector('noscript meta').httpEquiv") == "refresh"


def test_a_hold_is_released(server: ServerProcess, client: Client, signed_in: Page, root: Path, name: str, pictures: Path) -> None:
    """The button brings the deletions that are held, long before the next scan; pictures are kept of the page in both colours."""
    client.watch("backup", {"directory": str(root)}, token=TOKEN)
    with run_store() as store:
        store.put_many(*KEYS)
        config = {"s3": {"bucket": store.bucket, "prefix": "in/", "endpoint_url": store.endpoint_url, "poll_interval": "1h"}}
        client.watch(name, config, token=TOKEN).cancel()
        store.delete(*KEYS[100:])
        # Another configuration of the same place begins with a scan, after which the next one comes in an hour.
        stream = client.watch(name, config | {"metadata": {"run": "2"}}, token=TOKEN)
        (root / "report.csv").write_text("1,2,3")
        signed_in.open(server.http)
        wait_until(
            lambda: "Release 200 deletions" in signed_in.text("#watches") and "report.csv" in signed_in.text("#recent"), "all is shown"
        )
        for scheme in ("light", "dark"):
            signed_in.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            signed_in.screenshot(pictures / f"page-{scheme}.png")
        signed_in.click("#watches button")
        stream.wait_count(200)
        wait_until(lambda: "Release" not in signed_in.text("#watches"), "nothing is held")
    (line,) = server.lines("scan.released")
    assert (line["watch"], line["deletions"], line["by"]) == (name, 200, "team")
