"""Where payloads begin and end, and what surrounds their events."""

import json
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from watcher.delivery.renderer import MAX_PAYLOAD_BYTES, Renderer
from watcher.model import Change, ChangeType, Entry, Payload
from watcher.spec import Batch, BucketSpec, DirectorySpec, Format, Spec

SCHEMA = json.loads(files("watcher").joinpath("payload.schema.json").read_bytes())
BATCH: Draft202012Validator = Draft202012Validator(
    {"$ref": f"{SCHEMA['$id']}#/$defs/batch"}, registry=Resource.from_contents(SCHEMA) @ Registry()
)
BUCKET = BucketSpec("landing")
CREATED = Change(ChangeType.CREATED, Entry(b"in/a b.csv", 12, 0, etag="0123abcd"))
LONGEST_PATH = b"\x01" * 4096
KIB = 1024


def cut(renderer: Renderer, *datas: bytes) -> list[Payload]:
    """Return the payloads of some events that are numbered from 1 on; the last may not wait."""
    events = [Payload(seq, data) for seq, data in enumerate(datas, start=1)]
    return list(renderer.payloads(events, [], is_last=True))


@pytest.mark.parametrize("format_", Format)
def test_payloads_without_a_batch_have_no_envelope(format_: Format) -> None:
    """But for the ``Records`` of S3, which are part of a notification."""
    renderer = Renderer(Spec(BUCKET, format=format_), "cafe")
    event = renderer.event(CREATED, 1, 0)
    expected = b'{"Records":[%b]}' % event if format_ is Format.S3 else event
    assert cut(renderer, event) == [(1, expected)]


@pytest.mark.parametrize("count", [1, 3])
def test_batches_have_the_envelope_of_their_format(count: int) -> None:
    """A single event has it too, so that consumers see one shape only."""
    payloads: dict[Format, Any] = {}
    for format_ in Format:
        renderer = Renderer(Spec(BUCKET, format=format_, batch=Batch(max_events=10)), 'c"afe')
        events = [renderer.event(CREATED, seq, 0) for seq in range(1, 1 + count)]
        (payload,) = cut(renderer, *events)
        assert payload.seq == count
        payloads[format_] = json.loads(payload.data)
    flat = payloads[Format.FLAT]
    BATCH.validate(flat)
    assert (flat["id"], flat["count"]) == (f'c"afe-1-{count}', count)
    assert [event["data"] for event in payloads[Format.CLOUDEVENTS]] == flat["events"]
    assert payloads[Format.S3].keys() == {"Records"}
    assert len(payloads[Format.S3]["Records"]) == count


@given(
    format_=st.sampled_from(Format),
    max_events=st.integers(1, 9),
    sizes_kib=st.lists(st.integers(0, 300), max_size=12),
    is_last=st.booleans(),
)
def test_a_payload_has_as_many_events_as_fit(
    format_: Format,
    max_events: int,
    sizes_kib: list[int],
    is_last: bool,  # noqa: FBT001 - hypothesis passes names
) -> None:
    """No payload is too long or has too many events, and none could hold the next event as well."""
    events = [Payload(seq, b" " * (kib * KIB)) for seq, kib in enumerate(sizes_kib, start=1)]
    renderer = Renderer(Spec(BUCKET, format=format_, batch=Batch(max_events)), "cafe")
    waiting: list[Payload] = []
    payloads = list(renderer.payloads(events, waiting, is_last=is_last))
    ends = [0, *(payload.seq for payload in payloads)]
    assert [event.seq for event in waiting] == [*range(ends[-1] + 1, len(events) + 1)]
    assert not (waiting and is_last)
    for payload, start, end in zip(payloads, ends, ends[1:], strict=False):
        assert 0 < end - start <= max_events
        assert len(payload.data) <= MAX_PAYLOAD_BYTES
        if end - start < max_events and end < len(events):
            assert len(payload.data) + len(events[end].data) > MAX_PAYLOAD_BYTES - 100


def test_one_event_after_the_other_is_rendered() -> None:
    """A payload leaves before the next event is asked for, so that memory holds one payload."""
    log: list[str] = []

    def events() -> Any:  # noqa: ANN401 - an iterator of payloads
        for seq in range(1, 5):
            log.append(f"event {seq}")
            yield Payload(seq, b"{}")

    renderer = Renderer(Spec(BUCKET, batch=Batch(max_events=2)), "cafe")
    log.extend(
        f"payload {payload.seq}" for payload in renderer.payloads(events(), [], is_last=True)
    )
    assert log == ["event 1", "event 2", "payload 2", "event 3", "event 4", "payload 4"]


@pytest.mark.parametrize("format_", [Format.FLAT, Format.CLOUDEVENTS])
def test_the_largest_single_event_fits(format_: Format) -> None:
    """Metadata of a 16 KiB configuration and two paths of 4 KiB, all of which JSON must escape."""
    spec = Spec(DirectorySpec("/data"), format=format_, metadata={"note": "\0" * 8 * KIB})
    entry = Entry(LONGEST_PATH, 1 << 62, 0)
    renderer = Renderer(spec, "cafe")
    event = renderer.event(Change(ChangeType.MOVED, entry, LONGEST_PATH), 1 << 62, 0)
    (payload,) = cut(renderer, event)
    assert len(payload.data) <= MAX_PAYLOAD_BYTES
