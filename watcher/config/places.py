"""Checks the values that name a place: paths, buckets, prefixes, endpoints and roles."""

from __future__ import annotations

import posixpath
import re
from importlib.util import find_spec

from watcher.addresses import literal_address, normal_endpoint
from watcher.config.fields import MismatchError, matching, text
from watcher.filters.dated_prefix import PREFIXES_MAX, DatedPrefix, PrefixError
from watcher.filters.key_window import AHEAD_S
from watcher.queue_address import QueueAddress
from watcher.spec import BucketSpec, DirectorySpec

_MAX_PATH_BYTES = 4095
_MAX_PREFIX_BYTES = 1024
_MAX_PORT = 65535

_ARN = (
    r"arn:[a-z0-9-]+:s3[a-z-]*:[a-z0-9-]*:[0-9]{12}:"
    r"(?:outpost[:/][A-Za-z0-9-]{1,63}[:/])?accesspoint[:/][A-Za-z0-9.-]{1,63}"
)
# Ceph reads ":bucket" as a bucket of no tenant, which users of a tenant name so.
_TENANT = r"(?!arn:)[A-Za-z0-9._-]{0,128}:"
_NAME = re.compile(rf"(?:{_TENANT})?[A-Za-z0-9][A-Za-z0-9._-]{{1,61}}[A-Za-z0-9]|{_ARN}", re.ASCII)
_BUCKET_ARN = re.compile(r"arn:[a-z0-9-]+:s3:::([^/]*).*", re.DOTALL)
_MULTI_REGION_ARN = re.compile(r"arn:[a-z0-9-]+:s3::[0-9]{12}:accesspoint[:/].*")
_URI = re.compile(rf"s3://({_ARN}|[^/]*)(?:/(.*))?", re.DOTALL)
_REGION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_ROLE = re.compile(r"arn:[a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]*:[A-Za-z0-9]*:role/[!-~]{1,600}")
_ENDPOINT = re.compile(
    r"(?P<origin>https?://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?)"
    r"(?P<path>/[!-~]*)?",
    re.IGNORECASE | re.ASCII,
)

_IS_DIRECTORY = 'is a directory, write "directory:" in place of "s3:"'


TENANT_ALONE = "names a tenant, which only a store at an endpoint has: set endpoint_url too"
"""What is wrong with ``tenant:bucket`` where no endpoint is named."""


def is_address(endpoint: str) -> bool:
    """Return whether the host of an endpoint is an IP address."""
    url = _ENDPOINT.fullmatch(endpoint)
    return url is not None and literal_address(url["host"].strip("[]")) is not None


def _path(value: str) -> str:
    if value.startswith("s3://"):
        raise MismatchError('is a bucket, write "s3:" in place of "directory:"')
    if not value.startswith("/"):
        raise MismatchError('must be an absolute path, such as "/data/in"')
    if "\0" in value or len(value.encode()) > _MAX_PATH_BYTES:
        raise MismatchError(f"must have at most {_MAX_PATH_BYTES} bytes, and no NUL")
    if ".." in value.split("/"):
        raise MismatchError('must not go up by "..", which links make ambiguous')
    return posixpath.normpath("/" + value.lstrip("/"))


def _bucket(value: str) -> str:
    if value.startswith("/"):
        raise MismatchError(_IS_DIRECTORY)
    if value.startswith("s3://"):
        raise MismatchError("must be the name alone, write the rest of the URI as prefix")
    if arn := _BUCKET_ARN.fullmatch(value):
        raise MismatchError(f'must be the name of the bucket in place of its ARN, write "{arn[1]}"')
    if _MULTI_REGION_ARN.fullmatch(value) and find_spec("awscrt") is None:
        raise MismatchError(
            "is a multi-region access point, for which requests cannot be signed without the "
            "package awscrt: name the access point of one region"
        )
    if not _NAME.fullmatch(value):
        raise MismatchError(
            "must name a bucket (3 to 63 letters, digits, dots and hyphens, no slash) "
            "or be the ARN of an access point"
        )
    return value


def _prefix(value: str) -> str:
    if (size := len(value.encode())) > _MAX_PREFIX_BYTES:
        raise MismatchError(f"has {size} bytes, at most {_MAX_PREFIX_BYTES} are allowed")
    try:
        prefix = DatedPrefix.parse(value)
    except PrefixError as error:
        raise MismatchError(str(error)) from error
    if (size := len(prefix.render(0.0).encode())) > _MAX_PREFIX_BYTES:
        raise MismatchError(
            f"has {size} bytes with its dates, at most {_MAX_PREFIX_BYTES} are allowed"
        )
    return value


def split_uri(value: str) -> tuple[str, str]:
    """Return bucket and prefix of a URI such as ``s3://landing/in/``.

    Raises:
        ValueError: It is not a URI of a bucket.
    """
    if uri := _URI.fullmatch(value):
        return _bucket(uri[1]), _prefix(uri[2] or "")
    raise MismatchError(
        _IS_DIRECTORY if value.startswith("/") else 'must be a URI, such as "s3://landing/in/"'
    )


def _bucket_of_uri(value: str) -> BucketSpec:
    spec = BucketSpec(*split_uri(value))
    if spec.has_tenant:
        raise MismatchError(f"{TENANT_ALONE}, in a mapping with bucket and prefix")
    if problem := problem_of_dates(spec.prefix, spec.lookback_s):
        raise MismatchError(f"{problem}: write a mapping with prefix and lookback")
    return spec


def problem_of_dates(prefix: str, lookback_s: float) -> str:
    """Return why a valid prefix cannot be read for so long; empty if it can.

    Args:
        prefix: The prefix, with or without dates.
        lookback_s: Seconds for which a date belongs to the place.
    """
    try:
        count = DatedPrefix.parse(prefix).count_at_most(lookback_s + AHEAD_S)
    except PrefixError as error:
        return str(error)
    if count <= PREFIXES_MAX:
        return ""
    return f"gives {count} prefixes, at most {PREFIXES_MAX} are allowed"


def _endpoint(value: str) -> str:
    if url := _parse_endpoint(value):
        return url["origin"].lower() + (url["path"] or "").rstrip("/")
    if with_scheme := _parse_endpoint(f"https://{value}"):
        raise MismatchError(f'must begin with http:// or https://, as "{with_scheme[0]}"')
    raise MismatchError(
        "must be http:// or https:// and a host, without user, query and fragment, "
        'such as "http://minio:9000"'
    )


def _queue(value: str) -> str:
    try:
        return str(QueueAddress.parse(value))
    except ValueError as error:
        raise MismatchError(str(error)) from error


def _parse_endpoint(value: str) -> re.Match[str] | None:
    """Return the parts of an endpoint; None if it is not valid."""
    url = _ENDPOINT.fullmatch(value)
    try:
        is_valid = url and 1 <= int(url["port"] or 1) <= _MAX_PORT and normal_endpoint(url[0])
    except ValueError:
        is_valid = None
    return url if is_valid else None


PATH = text(_path)
PATH_ALONE = text(lambda value: DirectorySpec(_path(value)))
BUCKET = text(_bucket)
PREFIX = text(_prefix)
URI = text(_bucket_of_uri)
ENDPOINT = text(_endpoint)
QUEUE = text(_queue)
REGION = matching(_REGION, 'a region, such as "eu-west-1"')
ROLE = matching(_ROLE, 'the ARN of a role, such as "arn:aws:iam::123456789012:role/reader"')
