"""Passes through an index for the digests that are not known."""

from __future__ import annotations

from support.reconciler_bench import Bench, many
from watcher.changes.digest_learning import DigestLearning
from watcher.spec import Compare

COUNT = 2500
"""More entries than two pages of the index hold."""


def test_a_pass_asks_for_each_unknown_digest_once(bench: Bench) -> None:
    """A page at a time, and the next one when no content waits to be read."""
    bench.compare(Compare(is_content=True))
    bench.place.put(b"known", etag="1")
    bench.baseline(*many(COUNT))
    bench.place.contents = dict.fromkeys(bench.place.files, "1")
    learning = DigestLearning(bench.place, bench.store.index)
    assert (learning.is_active, learning.advance()) == (False, False)
    learning.begin()
    asked = []
    while learning.is_active:
        assert learning.advance() is False
        asked += [entry.path for entry in bench.place.undigested]
        if bench.place.undigested:
            learnt = learning.learnt
            assert learning.advance() is False
            assert learning.learnt == learnt
        bench.place.undigested.clear()
    assert (asked, learning.learnt) == (many(COUNT), COUNT)


def test_a_page_without_unknown_digests_does_not_end_a_pass(bench: Bench) -> None:
    bench.place.put(*many(COUNT), etag="1")
    bench.baseline()
    learning = DigestLearning(bench.place, bench.store.index)
    learning.begin()
    assert learning.advance() is True
    while learning.advance():
        pass
    assert (learning.is_active, learning.learnt) == (False, 0)
