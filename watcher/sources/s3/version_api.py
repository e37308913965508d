"""Sends the requests that a bucket with versions takes: pages of versions, single ones, its state.

What holds for every request (throttling, credentials, errors) is in ``api``.
"""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from watcher.errors import DeniedError, WatcherError
from watcher.sources.cost import KEYS_PER_REQUEST
from watcher.sources.s3.api import BucketApi
from watcher.sources.s3.envelopes import OBJECTS_ROOT, WrongPageError
from watcher.sources.s3.errors import is_unknown_operation
from watcher.sources.s3.version_pages import VersionRequest, read_version_page
from watcher.versioned import split_version

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        HeadObjectRequestTypeDef,
        ListObjectVersionsRequestTypeDef,
    )

    from watcher.sources.s3.version_pages import VersionPage

_NO_VERSIONS = "leave out versions: true, or watch a store that has versions"


class Versioning(StrEnum):
    """Whether a bucket keeps versions (S3 API reference, GetBucketVersioning)."""

    ENABLED = "enabled"
    SUSPENDED = "suspended"
    OFF = "off"


class VersionApi(BucketApi):
    """A ``BucketApi`` for the versions of one bucket, which needs no right to list its objects."""

    def list_versions(
        self, request: VersionRequest, max_keys: int = KEYS_PER_REQUEST
    ) -> VersionPage:
        """Return one page of a listing of versions.

        Args:
            request: The page.
            max_keys: Maximum number of versions in it.

        Raises:
            DeniedError: The store has no such listing.
        """
        spec = self.spec
        parameters: ListObjectVersionsRequestTypeDef = {
            "Bucket": spec.bucket,
            "Prefix": request.prefix,
            "MaxKeys": max_keys,
            "EncodingType": "url",
        }
        if request.after is not None:
            parameters["KeyMarker"] = request.after.key
            if request.after.version_id:
                parameters["VersionIdMarker"] = request.after.version_id
        if spec.request_payer:
            parameters["RequestPayer"] = "requester"

        def send(client: S3Client) -> bytes:
            body: bytes = cast("Any", client.list_object_versions(**parameters))["Body"]
            return body

        try:
            body = self.send(send)
            return self.read_keys(
                lambda encoding: read_version_page(
                    body, spec, request, max_keys=max_keys, encoding=encoding
                )
            )
        except WrongPageError as error:
            if error.kind != OBJECTS_ROOT:
                raise
            raise DeniedError(
                "the store does not list versions: it answers with a listing of objects",
                place=spec.place,
                hint=_NO_VERSIONS,
            ) from error
        except WatcherError as error:
            if isinstance(error.__cause__, ClientError) and is_unknown_operation(error.__cause__):
                raise DeniedError(
                    f"the store does not list versions: {error.message}",
                    place=spec.place,
                    hint=_NO_VERSIONS,
                ) from error
            raise

    def probe(self, *, may_retry: bool = True) -> None:
        """List one version of the present prefix, to check that versions can be listed.

        Args:
            may_retry: The request is sent again where it fails; not from several threads.
        """
        with self.retrying(may_retry=may_retry):
            page = self.list_versions(VersionRequest(self.keys.present_prefix), 1)
        page.reader.read(page.elements)

    def has_version(self, path: bytes) -> bool:
        """Return whether HEAD finds the version, or delete marker, whose row has a path."""
        key, version_id = split_version(path)
        request: HeadObjectRequestTypeDef = {
            "Bucket": self.spec.bucket,
            "Key": key.decode(),
            "VersionId": version_id,
        }
        if self.spec.request_payer:
            request["RequestPayer"] = "requester"

        def send(client: S3Client) -> bool:
            try:
                client.head_object(**request)
            except ClientError as error:
                status = error.response["ResponseMetadata"].get("HTTPStatusCode")
                # A delete marker has no headers to be asked for.
                if status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
                    return status == HTTPStatus.METHOD_NOT_ALLOWED
                raise
            return True

        return self.send(send)

    def find_versioning(self) -> Versioning | None:
        """Ask whether the bucket keeps versions; return None where that is not answered."""
        try:
            response = self.send(
                lambda client: client.get_bucket_versioning(Bucket=self.spec.bucket)
            )
        except WatcherError:
            if self.should_stop():
                raise
            return None
        status = response.get("Status", "").lower()
        return Versioning(status) if status in set(Versioning) else Versioning.OFF
