"""Configurations that are bombs: what they cost is bounded, and who sends them waits for nobody but themselves."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from grpc import StatusCode

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from support.client import Client

    Abuse = Callable[[int], AbstractContextManager[None]]

pytestmark = pytest.mark.timeout(900)

MB = 1 << 20
LARGEST = 64 * 1024
"""A larger one is not looked at."""
TIMES = 6
LEVELS = "abcdefghijklmnop"

BOMBS = {
    "aliases": "\n".join(
        f"{now}: &{now} [{', '.join([f'*{before}'] * 9)}]" for before, now in pairwise(LEVELS)
    ),
    "anchors": "\n".join(f"k{number}: &a{number} x" for number in range(4000)),
    "nesting of lists": "a: " + "[" * 60_000,
    "nesting of mappings": "\n".join(" " * depth + "a:" for depth in range(350)),
    "one scalar": "directory: " + "x" * (LARGEST - 20),
    "a number": "directory: /\nid: " + "9" * 60_000,
    "many keys": "\n".join(f"k{number}: 1" for number in range(6000)),
    "many small values": f"metadata: [{','.join('1' for _ in range(30_000))}]",
    "many problems": f"include: [{','.join(['{}'] * 1300)}]",
    "many documents": "---\n" * 16_000,
    "folded lines": "id: >\n" + " \n" * 30_000,
    "escapes": 'id: "' + "\\x41" * 16_000 + '"',
    "nothing but quotes": "'" * 60_000,
    "directives": "%a\n" * 21_000,
}
SEARCHED = {"levels": "*/a*a/a*a/" * 44, "names": "*a?[!b]" * 60, "depths": "**/*a/" * 80}
"""As many characters of globs that must be searched for as a list may have, some less for what they end in."""
PLAIN = "*a/" * 17
PLAIN_GLOBS = 900
WATCHES = 6
DEPTH = 400
FILES = 200
LARGE_METADATA = {f"k{number}": "é" * 500 for number in range(50)}


# PyYAML takes some 100 times the size of its text for marks, tokens and nodes; two are parsed at once.
@pytest.mark.parametrize("kind", BOMBS)
def test_bombs(abuse: Abuse, client: Client, name: str, kind: str) -> None:
    """A configuration that would be large, deep or slow to understand is refused, however often it comes."""
    assert len(BOMBS[kind]) <= LARGEST
    with abuse(32 * MB):
        streams = [client.start(f"{name} {number}", BOMBS[kind]) for number in range(TIMES)]
        assert {stream.wait_end().code for stream in streams} == {StatusCode.INVALID_ARGUMENT}


# What configuration and compiled patterns take: some 10 MB for each watch.
@pytest.mark.parametrize("kind", SEARCHED)
def test_globs(abuse: Abuse, client: Client, root: Path, name: str, kind: str) -> None:
    """Globs that are as long and as many as a configuration takes let several watches find their files, and others theirs."""
    deep = root
    for _ in range(DEPTH):
        deep /= "aaaa"
        deep.mkdir()
    exclude = [f"**/{SEARCHED[kind]}b/", *(f"{PLAIN}b{number}" for number in range(PLAIN_GLOBS))]
    configs = [
        json.dumps({"directory": str(root), "id": f"{name} {number}", "exclude": exclude})
        for number in range(WATCHES)
    ]
    assert LARGEST * 0.8 < len(configs[0]) <= LARGEST
    with abuse(96 * MB):
        streams = [client.watch(name, config) for config in configs]
        for number in range(FILES):
            (deep / f"{'a' * 200}{number}.csv").touch()
        for stream in streams:
            stream.wait_count(FILES)
            stream.cancel()


# Each event has a copy of the metadata: those that wait in memory, or are on their way, are at most 4 MB for a stream.
def test_large_metadata(abuse: Abuse, client: Client, root: Path, name: str) -> None:
    """Metadata of fifty kilobytes come with each of many events, and stay out of memory."""
    with abuse(80 * MB):
        stream = client.watch(
            name,
            json.dumps({"directory": str(root), "metadata": LARGE_METADATA}, ensure_ascii=False),
        )
        for number in range(FILES):
            (root / f"{number}").touch()
        assert all(event["metadata"] == LARGE_METADATA for event in stream.wait_count(FILES))
        stream.cancel()
