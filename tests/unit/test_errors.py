"""An error as one line that fits a gRPC status, with any text in its parts."""

from urllib.parse import quote

import pytest

from watcher.errors import UnavailableError, status_bytes

PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
MAX_BYTES = 4096
"""Half of what a client accepts."""


def encoded_bytes(line: str) -> int:
    """Return the size of a line as ``grpc-message``."""
    return len(quote(line, safe=PRINTABLE))


def test_an_error_is_one_line() -> None:
    """Empty parts are left out; control characters and lone surrogates are escaped."""
    line = str(UnavailableError("it is\ngone", place="s3://é", hint="wait\ud800"))
    assert line == "s3://é: it is\\ngone; wait\\ud800"
    assert str(UnavailableError("it is gone")) == "it is gone"


@pytest.mark.parametrize("char", ["a", "%", "é", "語", "😀", "\n", "\U0010ffff", "\udcff"])
@pytest.mark.parametrize("count", [400, 1_000_000])
def test_an_error_fits_a_status(char: str, count: int) -> None:
    """Of each long part the beginning is kept, however its characters are encoded."""
    message, place, hint = (f"{part} {char * count}" for part in ("message", "place", "hint"))
    line = str(UnavailableError(message, place=place, hint=hint))
    assert line.startswith("place ")
    assert ": message " in line
    assert "; hint " in line
    assert encoded_bytes(line) <= MAX_BYTES


def test_parts_of_maximum_size_are_not_cut() -> None:
    parts = {"place": "p" * 1000, "hint": "h" * 500}
    line = str(UnavailableError("é%" * (2500 // 9), **parts))
    assert line == f"{parts['place']}: {'é%' * (2500 // 9)}; {parts['hint']}"
    assert encoded_bytes(line) == status_bytes(line) > 0.97 * 4000
