"""How the values of flags are read."""

from pathlib import Path

import pytest
import typer

from watcher.cli.flags import address, duration, host_port, http_url, state_directory


@pytest.mark.parametrize("read", [address, host_port, http_url])
@pytest.mark.parametrize("text", ["8080", "host", ":8080", "host:x", "host:99999"])
def test_address_needs_host_and_port(read: object, text: str) -> None:
    assert callable(read)
    with pytest.raises(typer.BadParameter):
        read(text)


def test_unix_sockets_are_for_grpc_only() -> None:
    assert address("unix:/x") == "unix:/x"
    for read in (host_port, http_url):
        with pytest.raises(typer.BadParameter):
            read("unix:/x")


def test_http_can_be_turned_off() -> None:
    assert host_port("") == ""
    with pytest.raises(typer.BadParameter):
        address("")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("host:80", "http://host:80"),
        ("[::1]:80", "http://[::1]:80"),
        ("http://host", "http://host"),
        ("https://host:1/x", "https://host:1/x"),
    ],
)
def test_url_of_an_address(text: str, url: str) -> None:
    assert http_url(text) == url


def test_duration() -> None:
    assert duration("1m30s") == 90.0
    with pytest.raises(typer.BadParameter, match="'90' must be a duration"):
        duration("90")


def test_a_verb_without_a_server_keeps_its_state_in_a_directory() -> None:
    assert state_directory("state") == Path("state")
    with pytest.raises(typer.BadParameter, match="must be a directory"):
        state_directory("postgresql://db/state")
