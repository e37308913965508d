"""Decides what the keys of a configuration mean, and makes its ``Spec``. Imports no yaml: see ``document.py``, ``reading.py``."""

from __future__ import annotations

import posixpath
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from watcher.addresses import literal_address, normal_endpoint
from watcher.config.document import EXAMPLE, MAX_BYTES, MAX_DEPTH, MAX_NODES, compose
from watcher.config.fields import (
    MAX_PROBLEMS,
    MismatchError,
    Reader,
    Reading,
    boolean,
    duration,
    integer,
    label,
    mapping,
    matching,
    metadata,
    one_of,
    parse_duration,
    scalar,
    sequence,
    text_of,
)
from watcher.filters.glob import searched_characters
from watcher.filters.path_filter import check_pattern
from watcher.model import ChangeType
from watcher.spec import (
    AddressingStyle,
    Batch,
    BucketSpec,
    Confirm,
    DirectorySpec,
    Existing,
    Filter,
    Format,
    Mode,
    Spec,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_NODES", "MAX_PROBLEMS", "parse_duration", "parse_spec"]

_IS_DIRECTORY = 'is a directory, write "directory:" in place of "s3:"'
_MAX_PATTERN = 1000
_MAX_PATTERNS = 1000
_MAX_SEARCHED = 500
"""Characters of the globs in a list that are searched for: for a path of 4,095 bytes they hold the interpreter for some 5 to 10 ms."""

_MAX_PATH_BYTES = 4095
_MAX_PREFIX_BYTES = 1024
_AUTO_POLL_MIN_S = 10.0
_REQUEST_BUDGET = 300_000
"""LIST requests in 30 days that ``poll_interval: auto`` keeps to by default: $1.50, and a small bucket every 10 seconds."""

_MAX_PORT = 65535

_ARN = r"arn:[a-z0-9-]+:s3[a-z-]*:[a-z0-9-]*:[0-9]{12}:(?:outpost[:/][A-Za-z0-9-]{1,63}[:/])?accesspoint[:/][A-Za-z0-9.-]{1,63}"
_BUCKET_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{1,61}}[A-Za-z0-9]|{_ARN}")
_S3_URI = re.compile(rf"s3://({_ARN}|[^/]*)(?:/(.*))?", re.DOTALL)
_REGION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_ENDPOINT = re.compile(
    r"(?P<origin>https?://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?)(?P<path>/[!-~]*)?",
    re.IGNORECASE | re.ASCII,
)
_ROLE = re.compile(r"arn:[a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]*:[A-Za-z0-9]*:role/[!-~]{1,600}")


def parse_spec(data: bytes) -> Spec:
    """Return the spec that a configuration asks for.

    Args:
        data: YAML or JSON in UTF-8, with or without a byte order mark.

    Raises:
        ConfigError: It is not valid. One line names all problems (the first ``MAX_PROBLEMS``), each with line (from 1) and key.
    """
    root = compose(data)
    reading = Reading()
    spec = reading.value(root, "", root.start_mark.line, _SPEC)
    if not isinstance(spec, Spec):
        reading.fail()
    return spec


def _meant(name: str, fields: Mapping[str, Reader]) -> str:
    """Return what to say of the key that was probably meant, if there is one."""
    if close := get_close_matches(name[:60], fields, n=1):
        return f', did you mean "{close[0]}"?'
    homes = [
        home
        for home, inner in (("directory", _DIRECTORY), ("s3", _BUCKET), ("batch", _BATCH))
        if name in inner
    ]
    if homes:
        return f", it belongs under {' or '.join(homes)}"
    return ", it belongs at the top level" if name in _TOP else ""


def _workers(value: object) -> int | None:
    if isinstance(value, str) and value != "auto":
        raise MismatchError("must be auto or a whole number from 1 to 64")
    return None if value == "auto" else integer(value, 1, 64)


def _glob(value: object) -> str:
    pattern = text_of(value)
    if len(pattern) > _MAX_PATTERN:
        raise MismatchError(f"must have at most {_MAX_PATTERN} characters")
    check_pattern(pattern)
    return pattern


def _path(value: object) -> str:
    path = text_of(value)
    if path.startswith("s3://"):
        raise MismatchError('is a bucket, write "s3:" in place of "directory:"')
    if not path.startswith("/"):
        raise MismatchError("must be absolute")
    if "\0" in path or len(path.encode()) > _MAX_PATH_BYTES:
        raise MismatchError(f"must have at most {_MAX_PATH_BYTES} bytes, and no NUL")
    if ".." in path.split("/"):
        raise MismatchError('must not go up by "..", since links make that ambiguous')
    return posixpath.normpath("/" + path.lstrip("/"))


def _bucket(value: object) -> str:
    name = text_of(value)
    if name.startswith("/"):
        raise MismatchError(_IS_DIRECTORY)
    if not _BUCKET_NAME.fullmatch(name):
        raise MismatchError(
            "must name a bucket (3 to 63 letters, digits, dots and hyphens, no slash) or be the ARN of an access point"
        )
    return name


def _prefix(value: object) -> str:
    prefix = text_of(value)
    if len(prefix.encode()) > _MAX_PREFIX_BYTES:
        raise MismatchError(f"must have at most {_MAX_PREFIX_BYTES} bytes")
    return prefix


def _short_bucket(value: object) -> BucketSpec:
    text = text_of(value)
    uri = _S3_URI.fullmatch(text)
    if uri:
        return BucketSpec(_bucket(uri[1]), _prefix(uri[2] or ""))
    raise MismatchError(
        _IS_DIRECTORY if text.startswith("/") else 'must be like "s3://bucket/prefix"'
    )


def _endpoint(value: object) -> str:
    expected = 'must be http:// or https:// and a host, without user, query and fragment, such as "http://minio:9000"'
    url = _ENDPOINT.fullmatch(text_of(value))
    if not url or not 1 <= int(url["port"] or 1) <= _MAX_PORT:
        raise MismatchError(expected)
    try:
        normal_endpoint(url[0])
    except ValueError as error:
        raise MismatchError(expected) from error
    return url["origin"].lower() + (url["path"] or "").rstrip("/")


def _check_directory(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "path" not in values:
        yield "", 'the key "path" is missing'
    if values.get("mode") is Mode.POLL and "rescan_interval" in values:
        yield "rescan_interval", "has no effect with mode: poll, set poll_interval"


def _check_bucket(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "bucket" not in values:
        yield "", 'the key "bucket" is missing'
    if "request_budget" in values and values.get("poll_interval", 0.0) is not None:
        yield "request_budget", "has no effect without poll_interval: auto"
    url = _ENDPOINT.fullmatch(values.get("endpoint_url") or "")
    if (
        url
        and values.get("addressing_style") is AddressingStyle.VIRTUAL
        and literal_address(url["host"].strip("[]")) is not None
    ):
        yield (
            "addressing_style",
            "virtual needs an endpoint_url with a host name, not an IP address",
        )


def _check_batch(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if values.get("max_wait") and values.get("max_events", 1) == 1:
        yield "max_wait", "has no effect unless max_events is above 1"


def _check_spec(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "directory" in values and "s3" in values:
        yield "s3", "one event source watches either a directory or s3, not both"
    elif "directory" not in values and "s3" not in values:
        yield "", f"it must say what to watch, {EXAMPLE}"
    events = values.get("events")
    if events is not None and not events:
        yield "events", "must name at least one type"
    elif events and len(set(events)) < len(events):
        yield "events", "names a type twice"
    elif events == (ChangeType.MOVED,) and "s3" in values:
        yield "events", "a bucket has no moved events"
    if values.get("format") is Format.S3 and "directory" in values:
        yield "format", "s3 is for buckets, a directory has flat or cloudevents"
    yield from _check_globs(values)
    if "ack_timeout" in values and values.get("confirm") is not Confirm.ACK:
        yield "ack_timeout", "has no effect without confirm: ack"


def _check_globs(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("include", "exclude"):
        characters = searched_characters(values.get(name) or ())
        if characters > _MAX_SEARCHED:
            yield (
                name,
                (
                    f"has {characters} characters in globs with text between two * of a name, or with ** before more than the last name, "
                    f"they may have {_MAX_SEARCHED}"
                ),
            )


def _make_bucket(**values: Any) -> BucketSpec:  # noqa: ANN401
    if "poll_interval_s" in values and values["poll_interval_s"] is None:
        values |= {
            "poll_interval_s": _AUTO_POLL_MIN_S,
            "request_budget": values.get("request_budget", _REQUEST_BUDGET),
        }
    return BucketSpec(**values)


def _make_spec(**values: Any) -> Spec:  # noqa: ANN401
    where = values.pop("directory", None) or values.pop("s3")
    patterns = Filter(values.pop("include", ()), values.pop("exclude", ()))
    return Spec(
        where, filter=patterns, events=frozenset(values.pop("events", ChangeType)), **values
    )


_DIRECTORY: dict[str, Reader] = {
    "path": scalar(_path),
    "recursive": scalar(boolean),
    "mode": one_of(Mode),
    "poll_interval": duration("100ms", "24h"),
    "rescan_interval": duration("1s", "24h"),
    "settle": duration("0s", "1m"),
    "follow_symlinks": scalar(boolean),
}
_BUCKET: dict[str, Reader] = {
    "bucket": scalar(_bucket),
    "prefix": scalar(_prefix),
    "region": matching(_REGION, 'a region such as "eu-west-1"'),
    "endpoint_url": scalar(_endpoint),
    "addressing_style": one_of(AddressingStyle),
    "profile": scalar(label),
    "role_arn": matching(
        _ROLE, 'the ARN of a role, such as "arn:aws:iam::123456789012:role/reader"'
    ),
    "request_payer": scalar(boolean),
    "poll_interval": duration("1s", "24h", or_auto=True),
    "request_budget": scalar(lambda value: integer(value, 1000, 10**9)),
    "list_workers": scalar(_workers),
}
_BATCH: dict[str, Reader] = {
    "max_events": scalar(lambda value: integer(value, 1, 1000)),
    "max_wait": duration("0s", "5m"),
}
_TOP: dict[str, Reader] = {
    "directory": mapping(
        _DIRECTORY,
        DirectorySpec,
        _check_directory,
        _meant,
        short=scalar(lambda value: DirectorySpec(_path(value))),
    ),
    "s3": mapping(_BUCKET, _make_bucket, _check_bucket, _meant, short=scalar(_short_bucket)),
    "id": scalar(label),
    "include": sequence(scalar(_glob), _MAX_PATTERNS),
    "exclude": sequence(scalar(_glob), _MAX_PATTERNS),
    "events": sequence(one_of(ChangeType), 10),
    "existing": one_of(Existing),
    "format": one_of(Format),
    "metadata": metadata,
    "batch": mapping(_BATCH, Batch, _check_batch, _meant),
    "confirm": one_of(Confirm),
    "ack_timeout": duration("1s", "24h"),
}
_SPEC = mapping(_TOP, _make_spec, _check_spec, _meant)
