"""Keys that servers and proxies read as other ones, and how they read them."""

import pytest

from watcher.sources.s3.inspector import is_misleading, plain_key


@pytest.mark.parametrize(
    ("key", "plain"),
    [
        (b"in//a", b"in/a"),
        (b"/in/a", b"in/a"),
        (b"in/./a", b"in/a"),
        (b"in/../a", b"a"),
        (b"in/x/../../../a", b"a"),
        (b"in//", b"in/"),
        (b"in/a//", b"in/a/"),
        (b"in/..", b""),
        (b"in/.", b"in"),
    ],
)
def test_what_is_no_name_is_left_out(key: bytes, plain: bytes) -> None:
    """As in the path of a URL (RFC 3986, 5.2.4), and empty names besides."""
    assert is_misleading(key)
    assert plain_key(key) == plain


@pytest.mark.parametrize("key", [b"in/a", b"a", b"in/.a", b"in/..a", b"in/...", b"in/a."])
def test_plain_keys_are_their_own(key: bytes) -> None:
    """Dots within a name are part of it."""
    assert not is_misleading(key)
    assert plain_key(key) == key


def test_a_folder_is_plain() -> None:
    """Its key ends in a slash, for which stores that keep a tree may answer with the folder."""
    assert is_misleading(b"in/a/")
    assert plain_key(b"in/a/") == b"in/a/"
