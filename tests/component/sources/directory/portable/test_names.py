"""Names on a volume as a Mac has it, where lookups take no account of case and normal form."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.clock import DiskClock
from support.files import fill
from support.folding import LOOKUPS, folding
from watcher.errors import ConfigError, DeniedError
from watcher.filters.path_filter import PathFilter
from watcher.sources.directory.portable.backend import PortableBackend
from watcher.sources.directory.source import DirectorySource
from watcher.sources.observations import Inspection
from watcher.spec import DirectorySpec, Filter, Mode

COMPOSED, DECOMPOSED = "r\u00e9sum\u00e9", "re\u0301sume\u0301"
SETTLE_S = 60.0

spellings = pytest.mark.parametrize(
    ("name", "other"),
    [
        ("report.csv", "Report.csv"),
        ("\u00e9t\u00e9", "\u00c9T\u00c9"),
        (COMPOSED, DECOMPOSED),
        (DECOMPOSED, COMPOSED),
        (COMPOSED, DECOMPOSED.upper()),
        ("deep/Dir/a", "deep/dir/a"),
        (f"{COMPOSED}/{DECOMPOSED}/a", f"{COMPOSED}/{COMPOSED}/a"),
        ("D/sub/b", "d/SUB/B"),
    ],
)


@pytest.fixture
def clock() -> DiskClock:
    return DiskClock()


@pytest.fixture
def source(
    root: Path, clock: DiskClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DirectorySource]:
    """Open a directory on such a volume."""
    for name in LOOKUPS:
        monkeypatch.setattr(os, name, folding(getattr(os, name)))
    spec = DirectorySpec(str(root), mode=Mode.POLL, settle_s=SETTLE_S, poll_interval_s=3600.0)
    opened = DirectorySource(spec, PathFilter(Filter()), PortableBackend(), clock, within=None)
    opened.open(lambda: None)
    yield opened
    opened.close()


def scanned(source: DirectorySource) -> list[str]:
    return [os.fsdecode(entry.path) for batch in source.scan() for entry in batch.entries]


def due(source: DirectorySource) -> list[str]:
    """Return the paths of what is reported now."""
    return [
        os.fsdecode(entry.path)
        for observation in source.observe()
        if isinstance(observation, Inspection)
        for entry in observation.entries
    ]


@spellings
def test_a_former_name_is_not_there(
    source: DirectorySource, root: Path, name: str, other: str
) -> None:
    """A rename in case or form leaves nothing under the former name, which a lookup still finds."""
    fill(root, other)
    assert (root / name).stat().st_size == (root / other).stat().st_size
    inspection = source.inspect([os.fsencode(name), os.fsencode(other)])
    assert [os.fsdecode(entry.path) for entry in inspection.entries] == [other]
    assert inspection.gone == [os.fsencode(name)]
    assert list(source.confirm_deleted([os.fsencode(name)])) == [os.fsencode(name)]
    assert scanned(source) == [other]


@spellings
def test_a_hint_in_another_spelling(
    source: DirectorySource, clock: DiskClock, root: Path, name: str, other: str
) -> None:
    """The system may notify as the writer has named a file: it is reported as it is listed."""
    fill(root, name)
    source._hints.add_first_look(os.fsencode(other), clock.monotonic())
    found = []
    for _ in range(4):
        found += due(source)
        clock.advance(SETTLE_S + 1)
    assert found == [name]


@pytest.mark.usefixtures("source")
def test_a_root_in_another_spelling(clock: DiskClock, root: Path) -> None:
    """It is read, and the state must not lie in there, however that is spelled."""
    fill(root, "state/a")
    spec = DirectorySpec(str(root.with_name("ROOT")), mode=Mode.POLL)
    state = root.with_name("Root") / "state"
    for names, is_refused in ((Filter(), True), (Filter(exclude=("state/",)), False)):
        other = DirectorySource(
            spec, PathFilter(names), PortableBackend(), clock, within=None, state=state
        )
        if is_refused:
            with pytest.raises(ConfigError, match="keeps its state in there"):
                other.open(lambda: None)
        else:
            other.open(lambda: None)
            assert scanned(other) == []
        other.close()


@pytest.mark.usefixtures("source")
def test_an_allowed_directory_in_another_spelling(clock: DiskClock, root: Path) -> None:
    """The allow list takes account of case, so what it allows is never more than it says."""
    spec = DirectorySpec(str(root.with_name("ROOT")), mode=Mode.POLL)
    other = DirectorySource(
        spec, PathFilter(Filter()), PortableBackend(), clock, within=[str(root)]
    )
    with pytest.raises(DeniedError):
        other.open(lambda: None)
