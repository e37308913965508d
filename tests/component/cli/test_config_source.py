"""The configuration that a place and flags make."""

from pathlib import Path

import pytest

from watcher.cli.config_source import write_configuration
from watcher.config.schema import parse_spec
from watcher.errors import ConfigError, NotFoundError
from watcher.filters.path_filter import PathFilter
from watcher.spec import BucketSpec, DirectorySpec

STATE = Path("/state")


def test_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path becomes absolute, and the flags become keys."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    flags = {"mode": "poll", "settle": "1s"}
    spec = parse_spec(write_configuration("in", flags, {"include": ["*.csv"]}, state=STATE))
    assert isinstance(spec.where, DirectorySpec)
    assert spec.where.path == str(tmp_path / "in")
    assert (spec.where.mode, spec.where.settle_s) == ("poll", 1.0)
    assert (spec.filter.include, spec.filter.exclude) == (("*.csv",), ())


def test_parent_of_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``link/..`` is the directory that the kernel finds there, not the one that has the link."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    monkeypatch.chdir(tmp_path)
    where = parse_spec(write_configuration("link/..", {}, {}, state=STATE)).where
    assert isinstance(where, DirectorySpec)
    assert where.path == str(tmp_path.resolve() / "a")


def test_state_inside_the_place_is_excluded(tmp_path: Path) -> None:
    """Each event would cause the next; special characters of its name match literally."""
    state = tmp_path / "s[t]*te"
    spec = parse_spec(write_configuration(str(tmp_path), {}, {"exclude": ["*.tmp"]}, state=state))
    assert spec.filter.exclude == ("*.tmp", "/s[[]t][*]te/**")


@pytest.mark.parametrize("name", ["s[" * 40, f"{'a' * 30}/" * 7 + "state", "s" * 250])
def test_own_state_is_excluded_at_a_long_path(tmp_path: Path, name: str) -> None:
    """A path longer than a glob may be is excluded by its end."""
    config = write_configuration(str(tmp_path), {}, {}, state=tmp_path / name)
    path_filter = PathFilter(parse_spec(config).filter)
    assert not path_filter.admits(f"{name}/state.db".encode())
    assert path_filter.admits(f"{name}2/state.db".encode())


def test_bucket() -> None:
    text = write_configuration("s3://landing/in/", {"region": "eu-west-1"}, {}, state=STATE)
    assert parse_spec(text).where == BucketSpec("landing", "in/", region="eu-west-1")


def test_bucket_of_a_tenant() -> None:
    """The place of the command line may have what only an endpoint has; an ARN has a slash."""
    flags = {"endpoint_url": "http://rgw:7480"}
    where = parse_spec(write_configuration("s3://acme:landing/in/", flags, {}, state=STATE)).where
    assert where == BucketSpec("acme:landing", "in/", endpoint_url="http://rgw:7480")
    with pytest.raises(ConfigError, match=r"s3\.bucket: names a tenant, .* set endpoint_url"):
        write_configuration("s3://acme:landing/in/", {}, {}, state=STATE)
    arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/landing"
    where = parse_spec(write_configuration(f"s3://{arn}/in/", {}, {}, state=STATE)).where
    assert where == BucketSpec(arn, "in/")


@pytest.mark.parametrize(
    ("name", "message"), [("file", "not a directory"), ("no", "no such directory")]
)
def test_no_directory(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotFoundError, match=message):
        write_configuration(str(tmp_path / name), {}, {}, state=tmp_path)


def test_problem_of_a_flag_has_no_line_number(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^((?!line).)*$"):
        write_configuration("s3://UP/", {}, {}, state=tmp_path)
