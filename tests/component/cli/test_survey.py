"""The survey of a real directory, and of a simulated bucket."""

import json
import os
from pathlib import Path

import pytest

from support.clock import FakeClock
from support.config import config
from support.s3.faults import Kind
from support.s3.listen import ListenStub
from support.s3.simulated import CREDENTIALS, run_store
from watcher.cli.group_survey import GroupNumbers
from watcher.cli.survey import survey_place
from watcher.config.schema import parse_spec
from watcher.sources.cost import cost_of
from watcher.spec import BucketSpec, HintKind, Notifications, Spec
from watcher.status_values import HeldBack


def test_survey(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.txt"):
        (tmp_path / name).write_text("123")
    text = f'{{"directory": {{"path": "{tmp_path}", "mode": "poll"}}, "include": ["*.csv"]}}'
    survey = survey_place(parse_spec(text.encode()), FakeClock(), lambda _: None)
    assert (survey.matching, survey.left_out, survey.size) == (2, 1, 6)
    assert survey.first == ["a.csv", "b.csv"]
    assert (survey.temporary, survey.composed, survey.decomposed) == (0, 0, 0)
    assert (survey.mode, survey.reason, survey.cost) == ("poll", "set by the configuration", None)


@pytest.mark.parametrize(("temporary", "expected"), [("skip", (2, 1, 2)), ("report", (4, 1, 0))])
def test_temporary_names_are_counted(
    tmp_path: Path, temporary: str, expected: tuple[int, int, int]
) -> None:
    for name in ("a", "b", "a.part", "b~", "excluded.part"):
        (tmp_path / name).touch()
    where = f'{{"path": "{tmp_path}", "temporary": "{temporary}"}}'
    text = f'{{"directory": {where}, "exclude": ["excluded*"]}}'
    survey = survey_place(parse_spec(text.encode()), FakeClock(), lambda _: None)
    assert (survey.matching, survey.left_out, survey.temporary) == expected


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        ('"include": ["r\u00e9sum\u00e9*"]', (2, 2, 0)),
        ('"include": ["re\u0301sume\u0301*"]', (2, 0, 2)),
        ('"exclude": ["r\u00e9sum\u00e9*"]', (3, 2, 0)),
        ('"include": ["re\u0301sume\u0301*", "r\u00e9sum\u00e9*"]', (4, 0, 0)),
        ('"include": ["*.csv"]', (5, 0, 0)),
        ('"include": ["r*.csv"]', (4, 0, 0)),
        ('"include": ["re:^r\u00e9sum\u00e9"]', (2, 2, 0)),
        ('"include": ["R\u00e9sum\u00e9*"], "match_case": false', (4, 0, 0)),
    ],
)
def test_globs_that_miss_a_normal_form(
    tmp_path: Path, globs: str, expected: tuple[int, int, int]
) -> None:
    """A Mac writes names decomposed, most others composed; the globs take both for different."""
    for name in ("r\u00e9sum\u00e9", "re\u0301sume\u0301"):
        for number in range(2):
            (tmp_path / f"{name}{number}.csv").touch()
    (tmp_path / "a.csv").touch()
    text = f'{{"directory": "{tmp_path}", {globs}}}'
    survey = survey_place(parse_spec(text.encode()), FakeClock(), lambda _: None)
    assert (survey.matching, survey.composed, survey.decomposed) == expected


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ('"include": ["*.csv"]', (1, 2)),
        ('"include": ["re:[.]CSV$"]', (1, 2)),
        ('"include": ["*.csv", "*.CSV"]', (2, 1)),
        ('"include": ["*.csv"], "match_case": false', (3, 0)),
        ('"exclude": ["OLD/", "*.txt"]', (4, 1)),
        ('"include": ["re:[.](?i)csv$"]', (3, 0)),
    ],
)
def test_patterns_that_miss_a_case(
    tmp_path: Path, patterns: str, expected: tuple[int, int]
) -> None:
    for name in ("a.csv", "B.CSV", "c.Csv", "old/d.dat", "e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    text = f'{{"directory": "{tmp_path}", {patterns}}}'
    survey = survey_place(parse_spec(text.encode()), FakeClock(), lambda _: None)
    assert (survey.matching, survey.other_case) == expected
    assert survey.composed == survey.decomposed == 0


@pytest.mark.parametrize(
    ("group", "numbers", "text"),
    [
        (
            {"depth": 1, "min_entries": 2},
            GroupNumbers(2, 1, 1),
            (
                "2 at depth 1, 1 of them with fewer than 2 entries; "
                "1 entry lies above that depth and belongs to none"
            ),
        ),
        (
            {"depth": 2},
            GroupNumbers(1, 0, 3),
            "1 at depth 2; 3 entries lie above that depth and belong to none",
        ),
        (
            {"depth": 0, "min_entries": 9},
            GroupNumbers(1, 1, 0),
            "the whole place is one, with fewer than 9 entries",
        ),
    ],
)
def test_groups(tmp_path: Path, group: dict[str, int], numbers: GroupNumbers, text: str) -> None:
    """Markers, and what conditions would hold back, count in no group."""
    for name in ("top", "top.done", "a/x", "a/x.done", "a/b/y", "a/b/y.done", "c/z", "c/z.done"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "waits").mkdir()
    (tmp_path / "waits/x").write_bytes(b"x")
    (tmp_path / "c/empty").touch()
    spec = config(tmp_path, group=group, marker="{name}.done", min_size=1)
    survey = survey_place(parse_spec(json.dumps(spec).encode()), FakeClock(), lambda _: None)
    assert (survey.groups, survey.resting) == (numbers, text)


@pytest.mark.parametrize(
    ("marker", "waiting"), [("{name}.done", 2), ("{stem}.ok", 2), ("_SUCCESS", 3)]
)
def test_what_conditions_would_hold_back(tmp_path: Path, marker: str, waiting: int) -> None:
    """Markers are found whatever include says of them, and are no entries."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for name in ("a/x.csv", "a/y.csv", "b/x.csv", "y.csv", "z.csv", "a/empty.csv", "a/huge.csv"):
        (tmp_path / name).write_bytes(bytes({"a/empty.csv": 0, "a/huge.csv": 99}.get(name, 9)))
    for name in ("a/x.csv.done", "a/z.csv.done", "b/x.csv.done", "z.csv.done"):
        (tmp_path / name).touch()
    for name in ("a/y.ok", "b/x.ok", "a/q.ok", "b/_SUCCESS"):
        (tmp_path / name).touch()
    conditions = f'"marker": "{marker}", "min_size": 1, "max_size": "10B", "max_age": "10h"'
    text = f'{{"directory": "{tmp_path}", "include": ["*.csv"], {conditions}}}'
    os.utime(tmp_path / "z.csv", (1, 1))
    survey = survey_place(parse_spec(text.encode()), FakeClock(), lambda _: None)
    assert survey.held_back == HeldBack(waiting, 1, 1)
    assert (survey.matching, survey.too_old) == (7, 1)
    assert survey.left_out + survey.markers == 8
    name = {"{name}.done": "NAME.done", "{stem}.ok": "STEM.ok"}.get(marker, marker)
    assert survey.waiting == (
        f"{waiting + 2} held back: {waiting} wait for {name}, 1 is smaller than 1 B, "
        "1 is larger than 10 B"
    )


@pytest.mark.parametrize("kind", [HintKind.WEBHOOK, HintKind.STREAM])
def test_a_bucket_with_hints(monkeypatch: pytest.MonkeyPatch, kind: HintKind) -> None:
    """Both costs are said; a store that is to stream is asked whether it does."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with run_store() as store:
        store.put_many("a", "b")
        spec = BucketSpec(
            store.bucket,
            endpoint_url=store.endpoint_url,
            notifications=Notifications(kind),
            backstop_interval_s=21_600.0,
        )
        ListenStub(store.bucket).attach(store)
        survey = survey_place(Spec(spec), FakeClock(), lambda _: None)
        assert store.requests[Kind.LISTEN] == (kind is HintKind.STREAM)
    assert (survey.mode, survey.matching) == ("notify", 2)
    assert survey.reason == f"hints by {kind}, and a listing every 6 h"
    assert survey.cost == cost_of(spec, 1)
    assert survey.cost.hints is not None
