"""Checks the values that name a place: paths, buckets, prefixes, endpoints and roles."""

from __future__ import annotations

import posixpath
import re

from watcher.addresses import literal_address, normal_endpoint
from watcher.config.fields import MismatchError, matching, text
from watcher.spec import BucketSpec, DirectorySpec

_MAX_PATH_BYTES = 4095
_MAX_PREFIX_BYTES = 1024
_MAX_PORT = 65535

_ARN = (
    r"arn:[a-z0-9-]+:s3[a-z-]*:[a-z0-9-]*:[0-9]{12}:"
    r"(?:outpost[:/][A-Za-z0-9-]{1,63}[:/])?accesspoint[:/][A-Za-z0-9.-]{1,63}"
)
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{1,61}}[A-Za-z0-9]|{_ARN}")
_URI = re.compile(rf"s3://({_ARN}|[^/]*)(?:/(.*))?", re.DOTALL)
_REGION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_ROLE = re.compile(r"arn:[a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]*:[A-Za-z0-9]*:role/[!-~]{1,600}")
_ENDPOINT = re.compile(
    r"(?P<origin>https?://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?)"
    r"(?P<path>/[!-~]*)?",
    re.IGNORECASE | re.ASCII,
)

_IS_DIRECTORY = 'is a directory, write "directory:" in place of "s3:"'


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
    if not _NAME.fullmatch(value):
        raise MismatchError(
            "must name a bucket (3 to 63 letters, digits, dots and hyphens, no slash) "
            "or be the ARN of an access point"
        )
    return value


def _prefix(value: str) -> str:
    if (size := len(value.encode())) > _MAX_PREFIX_BYTES:
        raise MismatchError(f"has {size} bytes, at most {_MAX_PREFIX_BYTES} are allowed")
    return value


def _bucket_of_uri(value: str) -> BucketSpec:
    if uri := _URI.fullmatch(value):
        return BucketSpec(_bucket(uri[1]), _prefix(uri[2] or ""))
    raise MismatchError(
        _IS_DIRECTORY if value.startswith("/") else 'must be a URI, such as "s3://landing/in/"'
    )


def _endpoint(value: str) -> str:
    url = _ENDPOINT.fullmatch(value)
    try:
        if url and 1 <= int(url["port"] or 1) <= _MAX_PORT and normal_endpoint(url[0]):
            return url["origin"].lower() + (url["path"] or "").rstrip("/")
    except ValueError:
        pass
    raise MismatchError(
        "must be http:// or https:// and a host, without user, query and fragment, "
        'such as "http://minio:9000"'
    )


PATH = text(_path)
PATH_ALONE = text(lambda value: DirectorySpec(_path(value)))
BUCKET = text(_bucket)
PREFIX = text(_prefix)
URI = text(_bucket_of_uri)
ENDPOINT = text(_endpoint)
REGION = matching(_REGION, 'a region, such as "eu-west-1"')
ROLE = matching(_ROLE, 'the ARN of a role, such as "arn:aws:iam::123456789012:role/reader"')
