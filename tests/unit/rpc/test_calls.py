"""Errors as gRPC statuses."""

from watcher import errors
from watcher.errors import WatcherError
from watcher.rpc.calls import STATUS


def kinds_of(kind: type[WatcherError]) -> set[type[WatcherError]]:
    """Return the classes below one that the project has for everybody, however deep."""
    below = {each for each in kind.__subclasses__() if each.__module__ == errors.__name__}
    return below.union(*map(kinds_of, below))


def test_every_error_has_a_status() -> None:
    assert STATUS.keys() == kinds_of(WatcherError)
