"""A stream of all versions of a bucket, and its configuration that changes."""

from support.client import Client, Event, Stream, wait_until
from support.config import config
from support.s3.versioned import StoredVersion, VersionedStore, run_versioned
from support.server import ServerProcess


class Told:
    """What a client was told over all its streams; an event that is written again counts once."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def wait(self, stream: Stream, count: int) -> list[tuple[str, str, str | None]]:
        """Wait for a number of new events, and return type, key and version of each."""

        def fresh(events: list[Event]) -> list[Event]:
            return [event for event in events if event["id"] not in self._ids]

        found = fresh(stream.wait_for(lambda events: len(fresh(events)) >= count))
        self._ids |= {event["id"] for event in found}
        return [(event["type"], event["path"], event["version_id"]) for event in found]


def names(kind: str, version: StoredVersion | None) -> tuple[str, str, str | None]:
    assert version is not None
    return kind, version.key, version.version_id


def test_every_version_is_an_event(server: ServerProcess, client: Client, name: str) -> None:
    """Also those between two listings; with another configuration nothing is reported again."""

    def start(store: VersionedStore, *, versions: bool) -> Stream:
        spec = config(store, prefix="in/", versions=versions, existing="report")
        stream = client.start(name, spec).ready()
        # What is written again makes a stream ready before the bucket was listed.
        wait_until(lambda: server.watches()[name]["scans"] > 0, "the bucket was listed")
        return stream

    def leave(stream: Stream) -> None:
        """End a stream; while the watch has one, another configuration is refused."""
        stream.cancel()
        server.wait_watch(name, streams=0)

    with run_versioned() as store:
        told, first = Told(), store.put("in/a")
        stream = start(store, versions=True)
        assert told.wait(stream, 1) == [names("created", first)]
        assert stream.events[0]["existing"]
        expected = [
            names("modified", store.put("in/a")),
            names("modified", store.put("in/a")),
            names("deleted", store.delete("in/a")),
            names("created", store.put("in/a")),
        ]
        assert told.wait(stream, 4) == expected
        assert server.watches()[name]["entries"] == 5
        leave(stream)

        stream = start(store, versions=False)
        store.put("in/a")
        assert told.wait(stream, 1) == [("modified", "in/a", None)]
        leave(stream)

        stream = start(store, versions=True)
        version = store.put("in/a")
        assert told.wait(stream, 1) == [names("modified", version)]
        stream.cancel()
