"""What the contact to a database logs about operations that fail although it can be reached."""

from support.logs import captured_logs
from watcher.errors import AwayError
from watcher.state.postgres.contact import REPEATS_LOGGED, Contact


def test_an_operation_that_fails_again_and_again_is_logged_once() -> None:
    contact = Contact(lambda: None, "postgresql://db/watcher")
    with captured_logs() as logs:
        for failures in range(1, REPEATS_LOGGED + 2):
            contact.wait(AwayError("the session has ended"), failures)
    (line,) = logs
    assert line["event"] == "state.repeated"
    assert line["failures"] == REPEATS_LOGGED
    assert line["error"] == "the session has ended"


def test_a_single_failure_is_not_logged() -> None:
    contact = Contact(lambda: None, "postgresql://db/watcher")
    with captured_logs() as logs:
        contact.wait(AwayError("the session has ended"), 1)
    assert not logs
