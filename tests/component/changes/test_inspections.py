"""Paths that are inspected one by one, and links as a whole."""

from __future__ import annotations

from support.reconciler_bench import Bench, many
from watcher.sources.observations import LinksChanged


def test_the_keys_of_a_projected_volume_are_compared_by_content(bench: Bench) -> None:
    for path in (b"a", b"b", b"c"):
        bench.place.put(path, etag="x", is_link=True)
    bench.baseline()
    for path in (b"a", b"b"):
        bench.place.put(path, inode=77, mtime_ns=9, etag="x" if path == b"a" else "y")
    del bench.place.files[b"c"]
    bench.place.put(b"d", etag="x", is_link=True)
    assert bench.apply(LinksChanged()) == "deleted c, modified b"
    assert bench.scan() == "created d"
    assert bench.apply(LinksChanged()) == ""


def test_all_links_are_inspected(bench: Bench) -> None:
    paths = many(2100)
    bench.place.put(*paths, is_link=True)
    bench.baseline()
    for path in paths[::700]:
        bench.place.put(path, size=2)
    assert bench.apply(LinksChanged()) == "modified 0000, modified 0700, modified 1400"
