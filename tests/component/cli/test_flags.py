"""Where values come from: flags, the environment, defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from watcher.cli.config_source import write_configuration
from watcher.cli.defaults import (
    default_http_server,
    default_server,
    default_state_directory,
    reachable,
)
from watcher.cli.flags import address, duration, host_port
from watcher.cli.survey import survey_place
from watcher.config.schema import parse_spec
from watcher.errors import ConfigError, NotFoundError
from watcher.spec import BucketSpec, DirectorySpec


@pytest.mark.parametrize(
    ("listen", "reached"),
    [
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("[::]:80", "[::1]:80"),
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("unix:/run/w.sock", "unix:/run/w.sock"),
    ],
)
def test_reachable(listen: str, reached: str) -> None:
    """A server that listens at every address is reached at loopback, any other where it listens."""
    assert reachable(listen) == reached


def test_defaults_of_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment of a server its clients find it and its state without flags."""
    for name in ("WATCHER_SERVER", "WATCHER_LISTEN", "WATCHER_HTTP", "WATCHER_STATE"):
        monkeypatch.delenv(name, raising=False)
    assert (default_server(), default_http_server()) == ("127.0.0.1:8080", "http://127.0.0.1:8081")
    monkeypatch.setenv("WATCHER_LISTEN", "0.0.0.0:1")
    monkeypatch.setenv("WATCHER_HTTP", "0.0.0.0:2")
    monkeypatch.setenv("WATCHER_STATE", "/var/lib/watcher")
    assert (default_server(), default_http_server()) == ("127.0.0.1:1", "http://127.0.0.1:2")
    assert default_state_directory() == Path("/var/lib/watcher")
    monkeypatch.setenv("WATCHER_SERVER", "other:3")
    assert default_server() == "other:3"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/x", "/x/watcher"),
        ("", "/home/u/.local/state/watcher"),
        ("x", "/home/u/.local/state/watcher"),
    ],
)
def test_state_directory(monkeypatch: pytest.MonkeyPatch, given: str, expected: str) -> None:
    """State is kept where the XDG specification says; a relative path is ignored as it demands."""
    monkeypatch.delenv("WATCHER_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", given)
    monkeypatch.setenv("HOME", "/home/u")
    assert default_state_directory() == Path(expected)


@pytest.mark.parametrize("text", ["8080", "host", ":8080", "host:x", "host:99999", ""])
def test_address_refuses(text: str) -> None:
    """An address without host or port is wrong usage."""
    with pytest.raises(typer.BadParameter):
        address(text)


def test_host_port() -> None:
    """HTTP may be turned off, but has no unix sockets."""
    assert host_port("") == ""
    with pytest.raises(typer.BadParameter):
        host_port("unix:/x")


def test_duration() -> None:
    """A duration is read as in a configuration, and a bare number is wrong usage."""
    assert duration("1m30s") == 90.0
    with pytest.raises(typer.BadParameter, match="'90' must be a duration"):
        duration("90")


def test_directory_of_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative place becomes the absolute path of a valid configuration with the flags as keys."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    data = write_configuration(
        "in", {"mode": "poll", "settle": "1s"}, {"include": ["*.csv"]}, state=Path("/state")
    )
    spec = parse_spec(data)
    assert isinstance(spec.where, DirectorySpec)
    assert (spec.where.path, spec.where.mode, spec.where.settle_s) == (
        str(tmp_path / "in"),
        "poll",
        1.0,
    )
    assert (spec.filter.include, spec.filter.exclude) == (("*.csv",), ())


def test_place_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that goes up by .. through a link is the directory that the kernel finds there."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    monkeypatch.chdir(tmp_path)
    where = parse_spec(write_configuration("link/..", {}, {}, state=Path("/state"))).where
    assert isinstance(where, DirectorySpec)
    assert where.path == str(tmp_path.resolve() / "a")


def test_own_state_is_excluded(tmp_path: Path) -> None:
    """State inside of the place is left out, whatever its name, so that no event causes the next."""
    state = tmp_path / "s[t]*te"
    spec = parse_spec(write_configuration(str(tmp_path), {}, {"exclude": ["*.tmp"]}, state=state))
    assert spec.filter.exclude == ("*.tmp", "/s[[]t][*]te/**")


def test_bucket_of_flags() -> None:
    """A bucket's URI and flags become a valid configuration."""
    where = parse_spec(
        write_configuration("s3://landing/in/", {"region": "eu-west-1"}, {}, state=Path("/state"))
    ).where
    assert where == BucketSpec("landing", "in/", region="eu-west-1")


def test_wrong_places(tmp_path: Path) -> None:
    """A file, a missing directory and a bucket's wrong name are told as such, without line numbers of a text that nobody wrote."""
    file = tmp_path / "file"
    file.touch()
    for place, message in (
        (str(file), "not a directory"),
        (str(tmp_path / "no"), "no such directory"),
    ):
        with pytest.raises(NotFoundError, match=message):
            write_configuration(place, {}, {}, state=tmp_path)
    with pytest.raises(ConfigError) as raised:
        write_configuration("s3://UP/", {}, {}, state=tmp_path)
    assert "line" not in str(raised.value)


def test_survey(tmp_path: Path) -> None:
    """What include and exclude leave out is counted, and the mode is named with its reason."""
    for name in ("a.csv", "b.csv", "c.txt"):
        (tmp_path / name).write_text("123")
    spec = parse_spec(
        f'{{"directory": {{"path": "{tmp_path}", "mode": "poll"}}, "include": ["*.csv"]}}'.encode()
    )
    survey = survey_place(spec, lambda _: None)
    assert (survey.matching, survey.left_out, survey.size, survey.first) == (
        2,
        1,
        6,
        ["a.csv", "b.csv"],
    )
    assert (survey.mode, survey.reason, survey.cost) == ("poll", "as the configuration says", None)
