"""What keeps the state: a directory, or a database whose URL is shown nowhere."""

from pathlib import Path

import pytest

from watcher.settings import DatabaseUrl, ServerSettings, parse_state


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_url_is_a_database(scheme: str) -> None:
    url = f"{scheme}://u:s3cret@db/state"
    state = parse_state(url)
    assert isinstance(state, DatabaseUrl)
    assert state.text == url
    shown = f"{state} {state!r} {ServerSettings(state=state)}"
    assert "s3cret" not in shown
    assert "db" not in shown.replace("the database", "")


@pytest.mark.parametrize("text", ["/var/lib/watcher", "state", "postgresql", "sqlite:///x"])
def test_anything_else_is_a_directory(text: str) -> None:
    assert parse_state(text) == Path(text)
