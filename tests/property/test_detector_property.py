"""Changes, replayed in order, give the files that they were derived from."""

from itertools import count

from hypothesis import example, given
from hypothesis import strategies as st

from watcher.changes.detector import ChangeDetector
from watcher.model import Change, ChangeType, Entry, Row

NAMES = [b"%c" % letter for letter in b"abcdefgh"]


@st.composite
def renames(draw: st.DrawFn) -> dict[bytes, bytes]:
    """Return any renames: no two to one path, none to its own; chains, cycles and trees of both."""
    old_paths = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    paths = draw(st.permutations(NAMES))
    return {old: new for old, new in zip(old_paths, paths, strict=False) if old != new}


def entry_of(path: bytes, content: int) -> Entry:
    return Entry(path, size=content, mtime_ns=content, ctime_ns=0, inode=content)


def replay(files: dict[bytes, int], changes: list[Change]) -> dict[bytes, int]:
    """Apply changes to paths and contents; each must fit the changes before it."""
    known = dict(files)
    for change in changes:
        path, content = change.entry.path, change.entry.size
        match change.type:
            case ChangeType.MOVED:
                assert change.old_path is not None
                assert known.pop(change.old_path) == content
            case ChangeType.DELETED:
                assert known.pop(path) == content
                continue
            case ChangeType.CREATED:
                assert path not in known
            case ChangeType.MODIFIED:
                assert known[path] != content
        known[path] = content
    return known


@given(
    moves=renames(),
    standing=st.sets(st.sampled_from(NAMES)),
    types=st.sampled_from([set(ChangeType), set(ChangeType) - {ChangeType.MOVED}]),
)
@example(
    moves={b"a": b"b", b"b": b"c", b"c": b"a", b"d": b"e"}, standing={b"e"}, types=set(ChangeType)
)
def test_moves_replayed_are_the_mapping(
    moves: dict[bytes, bytes], standing: set[bytes], types: set[ChangeType]
) -> None:
    there = [path for path in NAMES if path in standing or path in moves]
    files = {path: number for number, path in enumerate(there, start=1)}
    rows = {path: Row(number, entry_of(path, number)) for path, number in files.items()}
    ids = count(100)
    detector = ChangeDetector(types, lambda entries: [Row(next(ids), each) for each in entries])
    pairs = [(rows[old], entry_of(new, files[old])) for old, new in moves.items()]
    found = detector.move(pairs, rows)
    stayed = {path: content for path, content in files.items() if path not in moves}
    expected = stayed | {new: files[old] for old, new in moves.items()}
    assert replay(files, found.changes) == expected
    index = {path: row for path, row in rows.items() if row not in found.delta.deletes}
    index |= {row.entry.path: row for row in found.delta.upserts}
    assert {path: row.entry.size for path, row in index.items()} == expected
    assert len({row.id for row in index.values()}) == len(index)
    assert len(rows) + found.delta.created - len(found.delta.deletes) == len(index)
