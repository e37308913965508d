"""Messages on standard error."""

import pytest

from watcher.cli.messages import complain


def test_message_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Text of a server or a file name is escaped and cannot begin a line of its own."""
    complain("one\nwatcher: \x1b[2Jforged", "  two")
    assert capsys.readouterr().err == "watcher: one\\nwatcher: \\x1b[2Jforged\n  two\n"
