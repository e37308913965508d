"""Decides whether each listing is read in the way that those before it allow; time is a number here."""

from __future__ import annotations

import pytest

from watcher.filters.path_filter import PathFilter
from watcher.sources.s3.key_ranges import WORTHWHILE, Listing
from watcher.sources.s3.strategy import AUTO_WORKERS, PROOF_S, STRIKES, Plan, Way
from watcher.spec import Filter

EVERYTHING = PathFilter(Filter())
ENOUGH = WORTHWHILE + 1
"""The fewest landmarks with which a listing is read in parts."""


def completed(landmarks: int = ENOUGH, disorder: str = "") -> Listing:
    """Return a listing that was read to its end."""
    listing = Listing("s3://landing/", [""], EVERYTHING)
    listing.landmarks, listing.disorder = (
        [b"%03d" % number for number in range(landmarks)],
        disorder,
    )
    return listing


class Bench:
    """A plan with a clock that stands still until a step moves it."""

    def __init__(self, workers: int | None = None) -> None:
        self.now_s = 5.0
        self.plan = Plan(workers, lambda: self.now_s)

    def take(self, step: str) -> None:
        """Do one of the steps below; one that ends in the name of a way is a listing that was completed so."""
        match step.split():
            case ["day"]:
                self.now_s += PROOF_S
            case ["moment"]:
                self.now_s += 0.25
            case ["failed"]:
                self.plan.choose_way()
                self.plan.note_failed()
            case ["flat"]:
                self.plan.note_no_prefixes()
            case ["disordered", way]:
                self._complete(way, completed(disorder="b comes after c"))
            case ["small", way]:
                self._complete(way, completed(ENOUGH - 1))
            case [way]:
                self._complete(way, completed())

    def _complete(self, way: str, listing: Listing) -> None:
        self.plan.choose_way()
        self.plan.note_completed(Way(way), listing)


STRUCK = ["chain", *["failed"] * STRIKES]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # The first listing.
        ([], Way.PREFIXES),
        (["flat"], Way.CHAIN),
        (["failed"], Way.PREFIXES),
        (["day", "moment"], Way.PREFIXES),
        # Order is shown by a chain and by nothing else.
        (["prefixes"], Way.CHAIN),
        (["prefixes", "failed"], Way.CHAIN),
        (["prefixes", "chain"], Way.PARTS),
        (["flat", "chain"], Way.PARTS),
        (["chain", "parts", "parts"], Way.PARTS),
        # It is believed for a day after the last chain.
        (["chain", "day"], Way.PARTS),
        (["chain", "day", "moment"], Way.CHAIN),
        (["chain", "day", "parts", "moment"], Way.CHAIN),
        (["chain", "day", "chain", "moment"], Way.PARTS),
        (["chain", "day", "moment", "chain"], Way.PARTS),
        (["chain", "day", "moment", "failed"], Way.CHAIN),
        # Keys that do not ascend, even once.
        (["disordered chain"], Way.PREFIXES),
        (["disordered chain", "chain", "chain"], Way.PREFIXES),
        (["disordered prefixes"], Way.PREFIXES),
        (["chain", "disordered parts"], Way.PREFIXES),
        (["chain", "disordered chain", "day", "moment"], Way.PREFIXES),
        (["flat", "disordered chain"], Way.CHAIN),
        (["disordered chain", "flat"], Way.CHAIN),
        # Listings that could not be read in parts.
        (["chain", *["failed"] * (STRIKES - 1)], Way.PARTS),
        (STRUCK, Way.CHAIN),
        ([*STRUCK, "chain", "chain"], Way.CHAIN),
        ([*STRUCK, "day"], Way.CHAIN),
        ([*STRUCK, "day", "moment"], Way.CHAIN),
        ([*STRUCK, "day", "chain", "moment", "chain"], Way.PARTS),
        ([*STRUCK, "day", "moment", "chain"], Way.PARTS),
        ([*STRUCK, "day", "moment", "chain", "failed"], Way.PARTS),
        (["chain", *["failed", "chain"] * STRIKES], Way.CHAIN),
        # Too few landmarks in the last listing.
        (["small chain"], Way.CHAIN),
        (["small chain", "chain"], Way.PARTS),
        (["chain", "small parts"], Way.CHAIN),
    ],
)
def test_way(steps: list[str], expected: Way) -> None:
    """Each history leads to the one way that is safe after it and, of these, the fastest; to ask twice changes nothing."""
    bench = Bench()
    for step in steps:
        bench.take(step)
    assert (bench.plan.choose_way(), bench.plan.choose_way()) == (expected, expected)


@pytest.mark.parametrize(
    "steps", [[], ["prefixes"], ["chain"], ["disordered chain"], STRUCK, ["chain", "day", "moment"]]
)
def test_one_worker_reads_one_chain(steps: list[str]) -> None:
    """Where only one page may be fetched at once there is nothing to choose."""
    bench = Bench(workers=1)
    for step in steps:
        bench.take(step)
    assert bench.plan.choose_way() is Way.CHAIN


def test_a_proof_counts_from_the_end_of_its_listing() -> None:
    """A chain that takes long is believed for a day from its end, and one that breaks off proves nothing."""
    bench = Bench()
    bench.take("chain")
    bench.now_s += 2 * PROOF_S
    assert bench.plan.choose_way() is Way.CHAIN
    bench.now_s += PROOF_S
    assert bench.plan.choose_way() is Way.CHAIN
    bench.plan.note_completed(Way.CHAIN, completed())
    bench.take("day")
    assert bench.plan.choose_way() is Way.PARTS


@pytest.mark.parametrize(("workers", "expected"), [(None, AUTO_WORKERS), (1, 1), (64, 64)])
def test_workers(workers: int | None, expected: int) -> None:
    """As many pages are fetched at once as was asked for, or as are of use."""
    assert Plan(workers, lambda: 0.0).workers == expected


def test_what_is_learned_from_a_listing() -> None:
    """The landmarks are those of the last listing, put in order; the reason why keys do not ascend is the first that was found."""
    plan = Plan(None, lambda: 0.0)
    assert (list(plan.landmarks), plan.disorder) == ([], "")
    listing = completed(disorder="b comes after c")
    listing.landmarks = [b"m", b"z", b"a"]
    plan.note_completed(Way.PREFIXES, listing)
    assert (list(plan.landmarks), plan.disorder) == ([b"a", b"m", b"z"], "b comes after c")
    plan.note_completed(Way.CHAIN, completed(1, disorder="y comes after z"))
    assert (list(plan.landmarks), plan.disorder) == ([b"000"], "b comes after c")
    plan.note_completed(Way.CHAIN, completed(0))
    assert (list(plan.landmarks), plan.disorder) == ([], "b comes after c")
