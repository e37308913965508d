"""Sizes as configurations write them."""

import pytest

from watcher.config.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0B", 0),
        ("512B", 512),
        ("10KiB", 10240),
        ("10 KiB", 10240),
        ("1.5GiB", 3 << 29),
        ("5MB", 5_000_000),
        ("5kB", 5000),
        ("5KB", 5000),
        ("1TiB", 1 << 40),
        ("0.3B", 0),
        ("5", 5),
    ],
)
def test_sizes(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["5K", "5kib", "5 Ki", "1.5k", "5kb"])
def test_a_unit_that_is_written_as_elsewhere(text: str) -> None:
    expected = r"^must have the unit KB \(decimal\) or KiB \(binary\)$"
    with pytest.raises(ValueError, match=expected):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "5.5", "9" * 30, "-1B", "1e3B", "KiB", "1.B", "1  KiB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="must be bytes"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "expected"), [(0, "0"), (1000, "1000B"), (1024, "1KiB"), (5 << 30, "5GiB")]
)
def test_sizes_are_written_as_they_are_read(size: int, expected: str) -> None:
    assert format_size(size) == expected
    assert not size or parse_size(expected) == size
