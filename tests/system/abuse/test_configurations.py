"""Configurations that are bombs: their cost is bounded, and only their senders wait."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from grpc import StatusCode

from support.client import Client
from support.config import config
from support.files import touch
from system.abuse.conftest import Abuse
from watcher.config.patterns import MAX_GLOB_CHARS
from watcher.spec import MAX_CONFIG_BYTES

TIMES = 6
LEVELS = "abcdefghijklmnop"
BOMBS = {
    "aliases": "\n".join(
        f"{now}: &{now} [{', '.join([f'*{before}'] * 9)}]" for before, now in pairwise(LEVELS)
    ),
    "anchors": "\n".join(f"k{number}: &a{number} x" for number in range(1000)),
    "nesting of lists": "a: " + "[" * 16_000,
    "nesting of mappings": "\n".join(" " * depth + "a:" for depth in range(170)),
    "one scalar": "directory: " + "x" * (MAX_CONFIG_BYTES - 20),
    "a number": "directory: /\nid: " + "9" * 16_000,
    "many keys": "\n".join(f"k{number}: 1" for number in range(1600)),
    "many small values": f"metadata: [{','.join('1' for _ in range(8000))}]",
    "many problems": f"include: [{','.join(['{}'] * 1300)}]",
    "many documents": "---\n" * 4000,
    "folded lines": "id: >\n" + " \n" * 8000,
    "escapes": 'id: "' + "\\x41" * 4000 + '"',
    "nothing but quotes": "'" * 16_000,
    "directives": "%a\n" * 5400,
    "large expressions": "include:\n" + "- re:(\\pL{1000}x)\n" * 100,
    "expressions that are not closed": "include:\n" + f"- re:\\pL{{30}}{'(a' * 90}\n" * 50,
}
SEARCHED = [
    pytest.param("*/a*a/a*a/", id="levels", marks=pytest.mark.sampled),
    pytest.param("*a?[!b]", id="names"),
    pytest.param("**/*a/*a", id="depths", marks=pytest.mark.sampled),
]
"""Pieces of globs that match much of a path before they fail; two of them take long."""

ALWAYS = ("large expressions", "expressions that are not closed")
"""The bombs that cost most, for RE2 as well as for PyYAML; the others are sampled."""
GLOBS = 75
WATCHES = 6
DEPTH = 50
FILES = 60


# PyYAML takes some 100 times the size of its text; two configurations are parsed at once.
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=kind, marks=() if kind in ALWAYS else pytest.mark.sampled)
        for kind, text in BOMBS.items()
    ],
)
def test_bombs(abuse: Abuse, client: Client, name: str, text: str) -> None:
    """A configuration that is large, deep or slow to read is refused, however often it comes."""
    assert len(text) <= MAX_CONFIG_BYTES
    with abuse(24):
        streams = [client.start(f"{name} {number}", text) for number in range(TIMES)]
        assert {stream.wait_end().code for stream in streams} == {StatusCode.INVALID_ARGUMENT}


# Configuration and regular expressions: a few MB for each watch.
@pytest.mark.parametrize("piece", SEARCHED)
def test_globs(abuse: Abuse, client: Client, root: Path, name: str, piece: str) -> None:
    """Watches with the longest lists of the worst globs find their files, and others theirs."""
    deep = root
    for _ in range(DEPTH):
        deep /= "a" * 60
        deep.mkdir()
    longest = (piece * MAX_GLOB_CHARS)[: (MAX_GLOB_CHARS - 6) // len(piece) * len(piece)]
    exclude = [f"**/{longest}b{number}" for number in range(GLOBS)]
    configs = [
        json.dumps(config(root, id=f"{name} {number}", exclude=exclude))
        for number in range(WATCHES)
    ]
    assert MAX_CONFIG_BYTES * 0.9 < len(configs[0]) <= MAX_CONFIG_BYTES
    with abuse(48):
        streams = [client.watch(name, text) for text in configs]
        touch(deep, FILES, "a" * 200 + "{}.csv")
        for stream in streams:
            stream.wait_count(FILES)
            stream.cancel()
