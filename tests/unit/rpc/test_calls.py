"""Errors as gRPC statuses."""

from watcher import errors
from watcher.errors import WatcherError
from watcher.rpc.calls import STATUS


def test_every_error_has_a_status() -> None:
    kinds = {kind for kind in WatcherError.__subclasses__() if kind.__module__ == errors.__name__}
    assert STATUS.keys() == kinds
