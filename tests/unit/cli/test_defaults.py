"""Default addresses, and where state is by default."""

import platform
from pathlib import Path

import pytest

from watcher.cli.defaults import (
    default_http_server,
    default_node,
    default_server,
    default_state,
    reachable,
)
from watcher.settings import DatabaseUrl

STATE_OF_U = "/home/u/.local/state/watcher"


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
    assert reachable(listen) == reached


def test_environment_of_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a server's environment, clients find it and its state without flags."""
    for name in ("WATCHER_SERVER", "WATCHER_LISTEN", "WATCHER_HTTP", "WATCHER_STATE"):
        monkeypatch.delenv(name, raising=False)
    assert (default_server(), default_http_server()) == ("127.0.0.1:8080", "http://127.0.0.1:8081")
    monkeypatch.setenv("WATCHER_LISTEN", "0.0.0.0:1")
    monkeypatch.setenv("WATCHER_HTTP", "0.0.0.0:2")
    monkeypatch.setenv("WATCHER_STATE", "/var/lib/watcher")
    assert (default_server(), default_http_server()) == ("127.0.0.1:1", "http://127.0.0.1:2")
    assert default_state() == Path("/var/lib/watcher")
    monkeypatch.setenv("WATCHER_STATE", "postgresql://u:s3cret@db/state")
    assert default_state() == DatabaseUrl("postgresql://u:s3cret@db/state")
    monkeypatch.setenv("WATCHER_SERVER", "other:3")
    assert default_server() == "other:3"


@pytest.mark.parametrize(
    ("given", "expected"), [("/x", "/x/watcher"), ("", STATE_OF_U), ("x", STATE_OF_U)]
)
def test_state_directory(monkeypatch: pytest.MonkeyPatch, given: str, expected: str) -> None:
    """The XDG Base Directory Specification demands that a relative path is ignored."""
    monkeypatch.delenv("WATCHER_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", given)
    monkeypatch.setenv("HOME", "/home/u")
    assert default_state() == Path(expected)


def test_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a pod's host is the pod's, which says nothing about its node."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert default_node() == platform.node()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert not default_node()
