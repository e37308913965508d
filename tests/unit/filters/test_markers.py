"""Which names are markers, and which entries wait for which of them."""

import pytest

from watcher.filters.markers import FilterWithMarkers, MarkerPattern
from watcher.spec import Filter


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("{name}.done", b"x.csv", [b"x.csv.done"]),
        ("{name}.done", b"a/b/x.csv", [b"a/b/x.csv.done"]),
        ("{name}.done", b"in/", [b"in/.done"]),
        (".{name}.ok", b"a/x", [b"a/.x.ok"]),
        ("{stem}.ok", b"a.b/x.tar.gz", [b"a.b/x.tar.ok"]),
        ("{stem}.ok", b"x", [b"x.ok"]),
        ("{stem}.ok", b".hidden", [b".hidden.ok"]),
        ("{stem}.ok", b"..a", [b"..a.ok"]),
        ("{stem}.ok", b".a.b", [b".a.ok"]),
        ("{stem}.ok", b"x.", [b"x.ok"]),
        ("{stem}.ok", b"\xff.csv", [b"\xff.ok"]),
        ("_SUCCESS", b"x", [b"_SUCCESS"]),
        ("_SUCCESS", b"a/b/x", [b"_SUCCESS", b"a/_SUCCESS", b"a/b/_SUCCESS"]),
        ("_SUCCESS", b"a//x", [b"_SUCCESS", b"a/_SUCCESS", b"a//_SUCCESS"]),
    ],
)
def test_markers_of_an_entry(pattern: str, path: bytes, expected: list[bytes]) -> None:
    """A marker opens what it belongs to, and is found from either side."""
    markers = MarkerPattern(pattern)
    assert markers.markers_of(path) == expected
    for marker in expected:
        assert markers.is_marker(marker) == (not path.endswith(b"/"))
        assert markers.opens(marker, path)
        assert path.startswith(markers.opened_prefix(marker))
    assert not markers.opens(b"other/" + expected[0], path)


@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        ("{name}.done", [b"a/x.done", b".x.done"], [b".done", b"a/.done", b"x.DONE", b"x.done/y"]),
        ("ok-{stem}.txt", [b"ok-x.txt"], [b"ok-.txt", b"a/ok-/x.txt", b"ok-x"]),
        ("_SUCCESS", [b"_SUCCESS", b"a/_SUCCESS"], [b"x_SUCCESS", b"_SUCCESS/a"]),
    ],
)
def test_names_of_markers(pattern: str, names: list[bytes], others: list[bytes]) -> None:
    is_marker = MarkerPattern(pattern).is_marker
    assert all(map(is_marker, names))
    assert not any(map(is_marker, others))


@pytest.mark.parametrize(
    "pattern",
    [
        *("", ".", "..", "*", "a?", "a/b", "../x", "a\nb", "/{name}.done"),
        *("{name}", "{stem}", "{name}*", "{name", "name}", "{}", "{path}.ok", "{{name}}"),
        *("{name}{name}.ok", "{name}.{stem}"),
    ],
)
def test_what_names_no_markers(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"must|may|is a name"):
        MarkerPattern(pattern)


def test_globs_do_not_hide_markers() -> None:
    markers = MarkerPattern("{name}.part")
    admits = FilterWithMarkers(
        Filter(("*.csv",), ("*.part", "tmp/")), markers, skips_temporary=True
    )
    assert admits.admits(b"x.csv")
    assert admits.admits(b"x.csv.part")
    assert not admits.admits(b"x.txt")
    assert admits.admits(b"a/x.csv.part")
    assert not admits.admits_directory(b"tmp")
    assert not any(map(admits.admits, (b"tmp/x.csv.part", b"tmp/a/x.csv.part")))
