"""The pictures of the README, from the running program; ``make pictures`` keeps them."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from support.client import Client
from support.server import ServerProcess
from support.terminal import Terminal
from system.browser.chromium import Page

TERMINAL = """<style>body {{ margin: 0; background: #0c0c0c; padding: 16px }}
pre {{ font: 15px/1.45 'DejaVu Sans Mono', monospace; color: #d9d9d9; margin: 0 }}</style>{code}"""
PICTURED = Path("/tmp/watcher")  # noqa: S108 - it stands in a picture


@pytest.fixture
def data() -> Iterator[Path]:
    """Return an empty directory whose name looks well in a picture."""
    path = PICTURED / "data"
    shutil.rmtree(PICTURED, ignore_errors=True)
    path.mkdir(parents=True)
    yield path
    shutil.rmtree(PICTURED)


def test_status_page(
    server: ServerProcess, client: Client, page: Page, data: Path, pictures: Path
) -> None:
    """One event source works, the deletions of one are held, the place of one is gone."""
    for name in ("orders", "landing", "archive"):
        place = data / name
        place.mkdir()
        for number in range(150 if name == "landing" else 3):
            (place / f"{number:03}.csv").write_text("a,b\n" * number)
        # Deletions are held for an interval, in which the page has to be shown.
        mode = {} if name == "orders" else {"mode": "poll", "poll_interval": "15s"}
        client.watch(name, {"directory": {"path": str(place), **mode}})
    for number in (1, 2, 3):
        (data / f"orders/2026-11-0{number}.csv").write_text("a,b\n" * 400 * number)
    for file in list((data / "landing").iterdir())[:120]:
        file.unlink()
    (data / "archive").rename(data / "elsewhere")
    page.resize(1200, 640)
    page.open(server.http)
    page.wait_text("#recent", "2026-11-03.csv")
    page.wait_text("#watches", "120")
    page.wait_text("#watches", "unavailable")
    page.screenshot(pictures / "status-page.png")


def test_terminal(page: Page, data: Path, pictures: Path, tmp_path: Path) -> None:
    """The quick start: a file is created, renamed and deleted."""
    playground = data / "playground"
    playground.mkdir()
    with Terminal(tmp_path, "dev", playground) as terminal:
        terminal.wait_for("Ctrl-C")
        (playground / "a.txt").write_text("hello\n")
        terminal.wait_for("created")
        (playground / "a.txt").rename(playground / "b.txt")
        terminal.wait_for("moved")
        (playground / "b.txt").unlink()
        terminal.wait_for("deleted")
        # The line that shows the progress of the start is overwritten on a terminal.
        shown = terminal.text[terminal.text.index("watching") :]
    console = Console(record=True, file=io.StringIO(), width=90)
    console.print(Text("$ make run", style="bold"))
    console.print(Text.from_ansi(shown.replace("\r", "").strip()))
    code = console.export_html(theme=MONOKAI, inline_styles=True, code_format="{code}")
    page.resize(900, 150)
    page.open("data:text/html;charset=utf-8," + quote(TERMINAL.format(code=f"<pre>{code}</pre>")))
    page.screenshot(pictures / "terminal.png")
