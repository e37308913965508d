"""Checks what streams have delivered: in order, without a gap, and adding up to what is there."""

import json
from collections.abc import Iterable, Mapping

from support.client import Event
from support.files import Files


def told(events: Iterable[Event]) -> list[tuple[str, str]]:
    """Return types and paths, sorted."""
    return sorted((event["type"], event["path"]) for event in events)


def replay(events: Iterable[Event], baseline: Mapping[str, int] | None = None) -> Files:
    """Return the files, with sizes, that a baseline and its changes make; an id counts once."""
    files, seen = dict(baseline or {}), set[str]()
    for event in events:
        if event["id"] in seen:
            continue
        seen.add(event["id"])
        apply(files, event)
    return files


def apply(files: Files, event: Event) -> None:
    """Change files as an event says; it is possible where they are as they are."""
    kind, path = event["type"], event["path"]
    if kind == "moved":
        assert event["old_path"] in files, event
        del files[event["old_path"]]
    else:
        assert (path in files) == (kind != "created"), event
    if kind == "deleted":
        del files[path]
    else:
        files[path] = event["size"]


def sequence(payloads: Iterable[bytes]) -> list[int]:
    """Return the sequence numbers of one stream's payloads, which have no gap."""
    seqs = [json.loads(payload)["seq"] for payload in payloads]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))) if seqs else True
    return seqs


def merged(streams: Iterable[Iterable[bytes]]) -> list[Event]:
    """Return the events that the streams of one watch have received, each once.

    The streams are in the order of their beginnings. None has a gap or skips what none before it
    had; an event has the same bytes each time, and an id of its own.
    """
    by_seq: dict[int, bytes] = {}
    for number, payloads in enumerate(streams):
        payloads = list(payloads)  # noqa: PLW2901 - may be an iterator
        seqs = sequence(payloads)
        newest = max(by_seq, default=0)
        assert not seqs or seqs[0] <= newest + 1, f"stream {number}: {seqs[0]} follows {newest}"
        for seq, payload in zip(seqs, payloads, strict=True):
            assert by_seq.setdefault(seq, payload) == payload
    assert sorted(by_seq) == list(range(1, len(by_seq) + 1))
    events = [json.loads(by_seq[seq]) for seq in sorted(by_seq)]
    assert len({event["id"] for event in events}) == len(events)
    return events
