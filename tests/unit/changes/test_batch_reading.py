"""What of a batch is read; test_reconciler.py and the histories of buckets have what follows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from watcher.changes.batch_reading import BatchReading, meet_known
from watcher.changes.bitmap import Bitmap
from watcher.changes.known_batches import UnchangedBatches
from watcher.changes.running_scans import RunningScan
from watcher.model import Entry, Row
from watcher.sources.scans import DividedBatch

NAME = b"batch"


class Lines(DividedBatch):
    """A batch of one entry a letter, and one part a word; records which parts are read."""

    def __init__(self, words: str, *, is_divisible: bool = True) -> None:
        self.words = words.split()
        self.digest = words.encode()
        self.was_read: list[str] = []
        self._is_divisible = is_divisible

    @property
    def name(self) -> bytes:
        return NAME

    @property
    def entries(self) -> list[Entry]:
        self.was_read.append(" ".join(self.words))
        return [entry for word in self.words for entry in entries_of(word)]

    @property
    def part_digests(self) -> Sequence[bytes]:
        return [word.ljust(16).encode() for word in self.words]

    def read_parts(self, numbers: Sequence[int]) -> Sequence[Sequence[Entry]] | None:
        if not self._is_divisible:
            return None
        self.was_read += [self.words[number] for number in numbers]
        return [entries_of(self.words[number]) for number in numbers]


def entries_of(word: str) -> list[Entry]:
    """Return an entry for each letter; its case is not part of the path."""
    return [Entry(letter.lower().encode(), ord(letter), 1) for letter in word]


class Index:
    """Rows by path, and the batches of the last scan."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Row] = {}
        self.last = UnchangedBatches()

    def begin(self) -> RunningScan:
        running = RunningScan(Bitmap(0), UnchangedBatches(self.last))
        self.last = running.known
        return running

    def scan(self, batch: Lines, running: RunningScan | None = None) -> list[int]:
        """Compare a batch as a scan does, and return the ids that the scan has met."""
        running = running or self.begin()
        if not meet_known(batch, running):
            reading = BatchReading(batch, running)
            paths = [entry.path for entry in reading.entries]
            ids = [self.rows[path].id for path in paths if path in self.rows]
            differing = {
                path: self.rows[path]
                for entry, path in zip(reading.entries, paths, strict=True)
                if path in self.rows and self.rows[path].entry != entry
            }
            written = [self._write(entry) for entry in reading.entries if self._differs(entry)]
            running.met.add([*ids, *(row.id for row in written)])
            reading.keep(ids, differing, written)
            assert len(reading) == len("".join(batch.words))
        return [id_ for id_ in range(len(self.rows)) if id_ in running.met]

    def _differs(self, entry: Entry) -> bool:
        row = self.rows.get(entry.path)
        return row is None or row.entry != entry

    def _write(self, entry: Entry) -> Row:
        row = self.rows.get(entry.path)
        self.rows[entry.path] = Row(len(self.rows) if row is None else row.id, entry)
        return self.rows[entry.path]


@pytest.fixture
def index() -> Index:
    """Return an index after a first scan and one with a change, which has made parts known."""
    index = Index()
    for words in ("abc def ghi", "abC def ghi"):
        index.scan(Lines(words))
    return index


def test_parts_are_read_once_a_batch_has_changed() -> None:
    """A first scan reads batches whole, and the next one each part of those that differ."""
    index, first, second = Index(), Lines("abc def"), Lines("abC def")
    assert index.scan(first) == index.scan(second) == [*range(6)]
    assert (first.was_read, second.was_read) == (["abc def"], ["abC", "def"])


@pytest.mark.parametrize(
    ("words", "was_read", "met"),
    [
        ("abC dEf ghi", ["dEf"], [*range(9)]),
        ("abC de ghi", ["de"], [0, 1, 2, 3, 4, 6, 7, 8]),
        ("abC ghi", [], [0, 1, 2, 6, 7, 8]),
        ("abC xdef ghi", ["xdef"], [*range(10)]),
        ("abC xyz def ghi", ["xyz"], [*range(12)]),
        ("Abc Def Ghi", ["Abc", "Def", "Ghi"], [*range(9)]),
    ],
)
def test_parts_that_differ_are_read_and_no_others(
    index: Index, words: str, was_read: list[str], met: list[int]
) -> None:
    batch = Lines(words)
    assert (index.scan(batch), batch.was_read) == (met, was_read)
    again = Lines(f"{words} z")
    index.scan(again)
    assert again.was_read == ["z"]


def test_parts_stay_known_while_their_batch_is_unchanged(index: Index) -> None:
    batches = [Lines("abC def ghi"), Lines("abC def ghi"), Lines("abC deF ghi")]
    for batch in batches:
        assert index.scan(batch) == [*range(9)]
    assert [batch.was_read for batch in batches] == [[], [], ["deF"]]


def test_a_row_that_was_touched_makes_its_part_unknown(index: Index) -> None:
    index.last.touch([4])
    batch = Lines("abC def ghi")
    assert (index.scan(batch), batch.was_read) == ([*range(9)], ["def"])


def test_a_part_whose_rows_the_scan_has_met_is_read(index: Index) -> None:
    """An object that moves to another batch while it is listed occurs twice."""
    running, batch = index.begin(), Lines("abC def ghI")
    running.met.add([5])
    assert (index.scan(batch, running), batch.was_read) == ([*range(9)], ["def", "ghI"])


def test_a_batch_whose_parts_cannot_be_read_alone_is_read_whole(index: Index) -> None:
    batch = Lines("abC deF ghi", is_divisible=False)
    assert (index.scan(batch), batch.was_read) == ([*range(9)], ["abC deF ghi"])


def test_an_invalid_scan_knows_no_parts(index: Index) -> None:
    running, batch = index.begin(), Lines("abC deF ghi")
    running.known.invalidate()
    index.scan(batch, running)
    assert batch.was_read == ["abC deF ghi"]
    batch = Lines("abC deF ghI")
    index.scan(batch)
    assert batch.was_read == ["abC deF ghI"]
