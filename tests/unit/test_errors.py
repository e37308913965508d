"""Decides whether an error is one line that a gRPC status holds, whatever is said in it."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from watcher.errors import UnavailableError, status_bytes

PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
MOST_BYTES = 4096
"""Half of what a client takes."""


def encoded_bytes(line: str) -> int:
    """Return how many bytes a line takes as ``grpc-message``."""
    return len(quote(line, safe=PRINTABLE))


def test_an_error_is_one_line() -> None:
    """Place, message and hint make one line, in which control characters and halves of pairs are escaped; what is empty is left out."""
    assert (
        str(UnavailableError("it is\ngone", place="s3://é", hint="wait\ud800"))
        == "s3://é: it is\\ngone; wait\\ud800"
    )
    assert str(UnavailableError("it is gone")) == "it is gone"


@pytest.mark.parametrize("char", ["a", "%", "é", "語", "😀", "\n", "\U0010ffff", "\udcff"])
@pytest.mark.parametrize("count", [400, 1_000_000])
def test_an_error_fits_a_status(char: str, count: int) -> None:
    """However long its parts are, and however they are encoded, each is there by its beginning, and the line is as short as it must be."""
    line = str(
        UnavailableError(
            f"message {char * count}", place=f"place {char * count}", hint=f"hint {char * count}"
        )
    )
    place, message, hint = line[:6], line.partition(": ")[2][:8], line.partition("; ")[2][:5]
    assert (place, message, hint) == ("place ", "message ", "hint ")
    assert encoded_bytes(line) <= MOST_BYTES


def test_what_is_short_is_not_cut() -> None:
    """Each part may be so long that together they fill the status to nearly the last byte."""
    parts = {"place": "p" * 1000, "hint": "h" * 500}
    line = str(UnavailableError("é%" * (2500 // 9), **parts))
    assert line == f"{parts['place']}: {'é%' * (2500 // 9)}; {parts['hint']}"
    assert encoded_bytes(line) == status_bytes(line) > 0.97 * 4000
