"""Keys of paths: short enough for a btree, in the order of their paths, and never two alike."""

from __future__ import annotations

from watcher.state.postgres.keys import MAX_BYTES, key_of, keys_of, long_path, long_paths, under

SHORT, EDGE = b"a/b", b"x" * MAX_BYTES
LONG, OTHER = EDGE + b"y", EDGE + b"z" * 2000
BTREE_BYTES = 2704


def test_a_path_is_its_own_key_unless_it_is_too_long() -> None:
    assert [key_of(SHORT), key_of(EDGE)] == [SHORT, EDGE]
    assert [long_path(path) for path in (SHORT, EDGE, LONG)] == [b"", b"", LONG]
    keys = keys_of([LONG, OTHER])
    assert len({*keys}) == 2
    assert all(len(key) < BTREE_BYTES - 100 and key.startswith(EDGE) for key in keys)
    assert long_paths([SHORT, LONG, OTHER]) == [b"", LONG, OTHER]


def test_keys_are_in_the_order_of_paths_that_differ_early() -> None:
    paths = [b"a", EDGE, LONG, b"y", b"z" * 5000]
    assert sorted(keys_of(paths)) == keys_of(paths)


def test_a_prefix_is_a_range_of_keys() -> None:
    assert under(b"a/") == ("path >= ? AND path < ?", (b"a/", b"a0"))
    assert under(b"") == ("path >= ?", (b"",))
    condition, values = under(LONG)
    assert condition.startswith("path >= ? AND path < ? AND substr(")
    assert values == (EDGE, EDGE[:-1] + b"y", LONG)
