"""Arrays in binary form, against the bytes that PostgreSQL's own array_send gives."""

from __future__ import annotations

import pytest

from watcher.state.postgres.arrays import (
    Array,
    bool_array,
    bytea_array,
    float8_array,
    int2_array,
    int8_array,
    text_array,
)

HEAD = "00000001 00000000"


@pytest.mark.parametrize(
    ("array", "oid", "sent"),
    [
        (
            bool_array([True, False]),
            1000,
            f"{HEAD} 00000010 00000002 00000001 0000000101 0000000100",
        ),
        (int2_array([-2]), 1005, f"{HEAD} 00000015 00000001 00000001 00000002fffe"),
        (int8_array([1]), 1016, f"{HEAD} 00000014 00000001 00000001 000000080000000000000001"),
        (
            bytea_array([b"", b"\0\xff"]),
            1001,
            f"{HEAD} 00000011 00000002 00000001 00000000 0000000200ff",
        ),
        (text_array(["ä"]), 1009, f"{HEAD} 00000019 00000001 00000001 00000002c3a4"),
        (
            float8_array([1.0, None]),
            1022,
            "00000001 00000001 000002bd 00000002 00000001 000000083ff0000000000000 ffffffff",
        ),
        (int8_array([]), 1016, "00000000 00000000 00000014"),
    ],
)
def test_an_array_is_as_the_server_sends_it(array: Array, oid: int, sent: str) -> None:
    assert (array, array.oid) == (bytes.fromhex(sent), oid)


def test_a_number_of_more_than_64_bits_is_refused() -> None:
    with pytest.raises(OverflowError):
        int8_array([1 << 63])
