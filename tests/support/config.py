"""Builds configurations of event sources, as a client sends them. Imports no watcher."""

from os import PathLike
from typing import Protocol, runtime_checkable

from support.client import Event

# Keys beside the place; every other key belongs to the directory or the bucket.
TOP_KEYS = frozenset({"ack_timeout", "batch", "confirm", "events", "exclude", "existing", "format"})
TOP_KEYS |= {"marker", "max_age", "max_size", "min_size"}
TOP_KEYS |= {"group", "id", "include", "match_case", "max_unacknowledged", "metadata", "rate"}


@runtime_checkable
class Endpoint(Protocol):
    """An S3 server; the simulated ones have a ``bucket`` as well."""

    @property
    def endpoint_url(self) -> str: ...


def config(place: str | PathLike[str] | Endpoint, **keys: object) -> Event:
    """Return a configuration with short waiting times; keys of and beside the place may mix."""
    top = {key: value for key, value in keys.items() if key in TOP_KEYS}
    where = {key: value for key, value in keys.items() if key not in TOP_KEYS}
    if isinstance(place, Endpoint):
        bucket = {"bucket": where.pop("bucket", None) or getattr(place, "bucket", "")}
        store = bucket | {"endpoint_url": place.endpoint_url, "poll_interval": "1s"}
        return {"s3": store | where} | top
    return {"directory": {"path": str(place), "settle": "100ms"} | where} | top


def polled(place: str | PathLike[str], mode: str = "poll", **keys: object) -> Event:
    """Return a configuration of a directory that is scanned five times a second."""
    return config(place, mode=mode, poll_interval="200ms", **keys)
