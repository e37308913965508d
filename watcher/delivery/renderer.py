"""Renders changes as JSON and decides where payloads begin and end; no I/O.

The same change gives the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from watcher.delivery.formats import make_format
from watcher.model import Payload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from watcher.model import Change
    from watcher.spec import Spec

MAX_PAYLOAD_BYTES = 512 * 1024
"""Maximum size of a payload with several events in bytes.

A single event stays below it: metadata have at most 4 KiB, and two paths of 4 KiB take less than
100 KiB when every character must be escaped.
"""

_ENCODER = msgspec.json.Encoder()


class Renderer:
    """Renders the changes of one watch in the format of its spec.

    Args:
        spec: Format, place, metadata and the maximum number of events in a payload.
        uid: The first part of every event id; unique to the state of the watch.
    """

    def __init__(self, spec: Spec, uid: str) -> None:
        self._format = make_format(spec, uid)
        self._max_events = spec.batch.max_events

    def event(self, change: Change, seq: int, detected_at_ns: int) -> bytes:
        """Return one change as JSON, without an envelope.

        Args:
            change: What happened.
            seq: Its position in the journal, not negative.
            detected_at_ns: When it was found, nanoseconds since the epoch.
        """
        return _ENCODER.encode(self._format.event(change, seq, detected_at_ns))

    def payloads(
        self, events: Iterable[Payload], waiting: list[Payload], *, is_last: bool
    ) -> Iterator[Payload]:
        """Yield full payloads; consumes one event at a time, so that memory holds one payload.

        Args:
            events: Sequence number and ``event`` of each change, in order.
            waiting: An empty list; holds the events of the last payload while it is not full.
            is_last: Yield the last payload too when it is not full; ``waiting`` is empty then.
        """
        # The largest numbers that an envelope can hold, since its own are not known before.
        envelope_bytes = sum(map(len, self._format.envelope(1 << 63, 1 << 63, self._max_events)))
        size_bytes = envelope_bytes
        for event in events:
            event_bytes = len(event.data) + len(b",")
            if waiting and size_bytes + event_bytes > MAX_PAYLOAD_BYTES:
                yield self._payload(waiting)
                waiting.clear()
                size_bytes = envelope_bytes
            waiting.append(event)
            size_bytes += event_bytes
            if len(waiting) == self._max_events:
                yield self._payload(waiting)
                waiting.clear()
                size_bytes = envelope_bytes
        if is_last and waiting:
            yield self._payload(waiting)
            waiting.clear()

    def _payload(self, events: Sequence[Payload]) -> Payload:
        first_seq, last_seq = events[0].seq, events[-1].seq
        before, after = self._format.envelope(first_seq, last_seq, len(events))
        return Payload(last_seq, before + b",".join([event.data for event in events]) + after)
