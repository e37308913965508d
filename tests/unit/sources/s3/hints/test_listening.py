"""The prefix of a listen request is one that stores filter by as it is meant."""

import pytest

from watcher.sources.s3.hints.listening import listen_prefix


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", ""),
        ("in/", "in/"),
        ("in/été+%20*?", "in/été+%20*?"),
        ("logs/dt={%Y-%m-%d}/", "logs/dt="),
        ("{%Y}/", ""),
        ("logs/{a}/", "logs/{a}/"),
        ("my files/in/", "my"),
        ("in\\out/", "in"),
        ("in/../out/", "in/"),
        ("in/./", "in/"),
        ("./in/", ""),
        ("..", ""),
        ("in/...", "in/..."),
        ("in/.hidden/", "in/.hidden/"),
    ],
)
def test_what_stores_refuse_or_misread_is_left_to_the_watcher(prefix: str, expected: str) -> None:
    """The rest of a prefix is compared by the watcher."""
    assert listen_prefix(prefix) == expected
