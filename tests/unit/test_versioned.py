"""Versions of objects have paths that keep key and id apart."""

from hypothesis import given
from hypothesis import strategies as st

from watcher.model import Entry
from watcher.versioned import (
    Version,
    is_version,
    join_version,
    key_of,
    key_prefix,
    older_versions,
    split_version,
)

keys = st.text(min_size=1, max_size=8).map(lambda text: text.encode(errors="ignore") or b"a")
ids = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)


@given(keys | st.sampled_from([b"a\0", b"a\0b", b"\0"]), ids)
def test_key_and_id_come_back(key: bytes, version_id: str) -> None:
    """Also of a key that holds a NUL."""
    path = join_version(key, version_id)
    assert split_version(path) == (key, version_id)
    assert key_of(path) == key
    assert is_version(path)
    assert path.startswith(key_prefix(key))


@given(st.lists(st.tuples(keys, ids), max_size=12))
def test_versions_of_a_key_lie_side_by_side(versions: list[tuple[bytes, str]]) -> None:
    """In the order of paths no other key comes between them, but one that goes on with a NUL."""
    ordered = [key_of(path) for path in sorted(join_version(*each) for each in versions)]
    for key in set(ordered):
        first, last = ordered.index(key), len(ordered) - ordered[::-1].index(key)
        assert all(
            other.startswith(key_prefix(key)) or other == key for other in ordered[first:last]
        )


def test_older_versions_are_those_that_were_listed() -> None:
    """A version that was read from the index has none."""
    versions = [Version(b"a\0%d" % number, 1, number) for number in range(3)]
    versions[2].older, versions[1].older = versions[1], versions[0]
    assert list(older_versions(versions[2])) == [versions[1], versions[0]]
    assert list(older_versions(Entry(*versions[2]))) == []
    assert versions[2] == Entry(*versions[2])
