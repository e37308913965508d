"""The commands in the documents work: quick start, flags of every verb, targets of make."""

import re
import shlex
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from support.config import config
from support.files import fill
from support.fixtures import Connect, StartServer
from support.flags import all_flags
from support.project import PROJECT
from support.server import clean_environment
from support.terminal import Terminal
from watcher.cli.app import VERBS, load

PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", PROJECT / "examples/README.md"]
PAGES += sorted((PROJECT / "docs").glob("*.md"))
README = PAGES[0].read_text(encoding="utf-8")

BLOCK = re.compile(r"^ {4,}(?:\$ )?(\S(?:.*\\\n)*.*)$", re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
VARIABLES = r"(?:[A-Z_]+=\S+ )*"
WATCHER = re.compile(rf"{VARIABLES}(?:\.venv/bin/)?watcher (.+)", re.DOTALL)
MAKE = re.compile(rf"{VARIABLES}make ([a-z][a-z0-9-]*)")
TARGET = re.compile(r"^([a-z][a-z0-9-]*):", re.MULTILINE)
TABLE_OF_TARGETS = re.compile(r"^\| `make …` .*\n\|[-|]+\n((?:\|.*\n)+)", re.MULTILINE)
FIRST_CELL = re.compile(r"^\| `([a-z0-9-]+)`", re.MULTILINE)


KINDS = ["created", "moved", "deleted"]
"""Changes that the lines of the quick start make, one a second."""


def texts(pattern: re.Pattern[str]) -> list[str]:
    """Return what a pattern finds in all pages."""
    return [found for page in PAGES for found in pattern.findall(page.read_text("utf-8"))]


def watcher_commands(pattern: re.Pattern[str]) -> list[list[str]]:
    """Return the arguments of the commands of ``watcher`` among these texts."""
    found = [WATCHER.fullmatch(text) for text in texts(pattern)]
    commands = [shlex.split(each[1].replace("\\\n", " "), comments=True) for each in found if each]
    return [list(each) for each in dict.fromkeys(map(tuple, commands))]


FLAGS: dict[str, set[str]] = defaultdict(set)
for flag in all_flags():
    FLAGS[flag.verb].update(re.split(r", | / ", flag.names))


@pytest.mark.parametrize("arguments", watcher_commands(BLOCK), ids=" ".join)
def test_commands_are_accepted(arguments: list[str]) -> None:
    """Every command line in a block parses, with the values of its flags."""
    verb, *flags = arguments
    load(verb).make_context(verb, flags)


@pytest.mark.parametrize("arguments", watcher_commands(INLINE), ids=" ".join)
def test_verbs_and_flags_exist(arguments: list[str]) -> None:
    """Commands in a sentence name verbs and flags, and may leave out the rest."""
    verb, *rest = arguments
    assert verb in VERBS
    assert {word for word in rest if word.startswith("--")} <= FLAGS[verb]


def test_targets_exist() -> None:
    """Every ``make TARGET`` in the documents is a target of the Makefile."""
    named = [MAKE.match(text) for pattern in (BLOCK, INLINE) for text in texts(pattern)]
    targets = {found[1] for found in named if found}
    for table in texts(TABLE_OF_TARGETS):
        targets.update(FIRST_CELL.findall(table))
    assert len(targets) > 10
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    assert targets <= set(TARGET.findall(makefile))


def test_quick_start(tmp_path: Path) -> None:
    """The lines for two terminals give the changes of the picture."""
    assert "    $ make run\n" in README
    command = ["make", "--dry-run", "run"]
    environment = clean_environment("MAKE", "MFLAGS")
    recipe = subprocess.check_output(command, cwd=PROJECT, text=True, env=environment)
    made, started = recipe.splitlines()[-2:]
    assert made == "mkdir -p playground"
    assert started == 'exec .venv/bin/watcher dev "playground"'
    (header,) = re.findall(r"^    watching file://\S+ (.+)$", README, re.MULTILINE)
    (line,) = re.findall(r"In a second terminal: `(.+?)`", README)

    (tmp_path / "playground").mkdir()
    with Terminal(tmp_path, "dev", "playground") as terminal:
        terminal.wait_for(f"watching file://{tmp_path}/playground {header}")
        shell = subprocess.Popen(
            ["/bin/sh", "-e"], cwd=tmp_path, stdin=subprocess.PIPE, text=True, bufsize=1
        )
        with shell:
            assert shell.stdin is not None
            for step, kind in zip(line.split("; sleep 1; "), KINDS, strict=True):
                print(step, file=shell.stdin)
                # In place of the second, which is long for a machine that is busy.
                terminal.wait_for(kind)
        assert shell.returncode == 0
        shown = terminal.text
    changes = re.findall(r"(created|modified|moved|deleted)\b(.*)", shown)
    assert [kind for kind, _ in changes] == KINDS
    for (_, text), names in zip(changes, (["a.txt"], ["b.txt", "a.txt"], ["b.txt"]), strict=True):
        assert re.findall(r"\w\.txt", text) == names


def test_serve(start_server: StartServer, connect: Connect, root: Path, name: str) -> None:
    """The server of the README starts, and watches the directory that it allows."""
    (command,) = re.findall(r"^    watcher serve (.+)$", README, re.MULTILINE)
    flags = dict(zip(*[iter(shlex.split(command))] * 2, strict=True))
    assert flags.keys() == {"--listen", "--state", "--allow-directory"}
    # The flags stay, with a free port, and directories of the test.
    server = start_server("--listen", "0.0.0.0:0", "--allow-directory", str(root))
    address = server.address.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - of the README
    server.address = address
    stream = connect(server).watch(name, config(root))
    fill(root, "a")
    stream.wait_path("a")
