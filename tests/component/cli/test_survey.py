"""The survey of a real directory."""

from pathlib import Path

from support.clock import FakeClock
from watcher.cli.survey import survey_place
from watcher.config.schema import parse_spec


def test_survey(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.txt"):
        (tmp_path / name).write_text("123")
    text = f'{{"directory": {{"path": "{tmp_path}", "mode": "poll"}}, "include": ["*.csv"]}}'
    survey = survey_place(parse_spec(text.encode()), FakeClock(), lambda _: None)
    assert (survey.matching, survey.left_out, survey.size) == (2, 1, 6)
    assert survey.first == ["a.csv", "b.csv"]
    assert (survey.mode, survey.reason, survey.cost) == ("poll", "set by the configuration", None)
