"""A stream of bytes is cut into lines, however its parts arrive."""

import pytest

from watcher.sources.s3.hints.lines import LINE_MAX_BYTES, LineBuffer, LongLineError

TEXT = b'{"a": 1}\n \n\r\n   {"b": 2}\r\n\n{"c": "\xc3\xa9"}\n{"d'
LINES = [b'{"a": 1}', b'{"b": 2}', b'{"c": "\xc3\xa9"}']


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20, len(TEXT)])
def test_lines_are_the_same_however_they_arrive(size: int) -> None:
    """Parts may hold half a line, several lines, or blanks between them; a begun line waits."""
    buffer = LineBuffer()
    parts = [TEXT[start : start + size] for start in range(0, len(TEXT), size)]
    assert [line for part in parts for line in buffer.add(part)] == LINES
    assert buffer.add(b'": 4}\n') == [b'{"d": 4}']


def test_a_line_without_an_end_is_given_up() -> None:
    """A line may be long, but not endless; what it holds until then is all that is kept."""
    buffer = LineBuffer()
    assert buffer.add(b"x" * LINE_MAX_BYTES) == []
    assert buffer.add(b"\n") == [b"x" * LINE_MAX_BYTES]
    buffer.add(b"x" * LINE_MAX_BYTES)
    with pytest.raises(LongLineError):
        buffer.add(b"x")


def test_blanks_that_keep_a_connection_alive_are_not_kept() -> None:
    """Servers without pings send a blank twice a second, in one endless line."""
    buffer = LineBuffer()
    for _ in range(3):
        assert buffer.add(b" " * LINE_MAX_BYTES) == []
    assert buffer.add(b'{"a": 1}\n') == [b'{"a": 1}']
