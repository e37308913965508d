"""Finds out what is wrong with the address or the access of one bucket, from what failed.

``errors`` knows what a failure means for any bucket. This module knows the configuration that the
request was made from, and so which of its keys to change.
"""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botocore import exceptions as sdk

from watcher.errors import DeniedError
from watcher.sources.s3.errors import is_access_refused, translate, unwrap
from watcher.spec import AddressingStyle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.errors import WatcherError
    from watcher.sources.s3.trust import Trust
    from watcher.spec import BucketSpec

_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")
"""What OpenSSL says of a peer that does not speak TLS."""
_OTHER_HOST = ("mismatch", "doesn't match", "no appropriate subjectAltName")
_EXPIRED = ("certificate has expired", "certificate is not yet valid")
_UNKNOWN_AUTHORITY = "CERTIFICATE_VERIFY_FAILED"

_WRONG_ADDRESS = (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
"""Statuses of stores that take the bucket in an address for something else."""
_NO_HOST = "no host"
_NO_LISTING = ("NoSuchKey", "404", _NO_HOST)
_LISTS = ("ListObjects", "ListObjectsV2", "ListObjectVersions")
_LIST_VERSIONS = "ListObjectVersions"


class Diagnosis:
    """Translates the failures of requests for one bucket, with hints for its configuration.

    Args:
        spec: The bucket.
        trust: The authorities for its store.
    """

    def __init__(self, spec: BucketSpec, trust: Trust) -> None:
        self._spec = spec
        self._trust = trust

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Run a block that calls botocore and nothing else, and translate every exception.

        The exceptions of botocore have no common base: a malformed endpoint is a ValueError,
        credentials that have expired on arrival are a RuntimeError, a response without an expected
        field is a KeyError.

        Raises:
            WatcherError: In place of each exception, by ``errors.translate``.
        """
        try:
            yield
        except Exception as error:
            translated = translate(error, self._spec.place)
            if unwrap(error) is None and (hint := self._find_hint(error, translated)):
                translated.hint = hint
            raise translated from error

    def _find_hint(self, error: Exception, translated: WatcherError) -> str:
        """Return which key to change; empty where the address has no fault that is known."""
        if isinstance(error, sdk.SSLError):
            return self._find_tls_hint(error, translated)
        if isinstance(error, sdk.ClientError):
            return self._find_answer_hint(error, translated)
        if isinstance(error, sdk.EndpointConnectionError):
            return self._find_name_hint()
        if isinstance(error, sdk.ConnectionClosedError) and self._is_plain_http:
            return "if the store speaks TLS, write https:// in endpoint_url"
        return ""

    def _find_tls_hint(self, error: sdk.SSLError, translated: WatcherError) -> str:
        text = str(error.kwargs["error"])
        url = urlsplit(str(error.kwargs["endpoint_url"]))
        origin = f"{url.scheme}://{url.netloc}"
        if any(reason in text.replace(" ", "_").upper() for reason in _NO_TLS):
            return "nothing there speaks TLS: write http:// in endpoint_url, or another port"
        if files := self._trust.files_for(origin):
            translated.message += f", with the authorities in {files} trusted too"
        if any(reason in text for reason in _OTHER_HOST):
            style = self._spec.addressing_style is AddressingStyle.VIRTUAL
            other = ", or set addressing_style: path" if style else ""
            return f"write a host in endpoint_url that the certificate is for{other}"
        if any(reason in text for reason in _EXPIRED):
            return "renew the certificate of the store, and check the clock of this machine"
        if _UNKNOWN_AUTHORITY in text:
            return self._trust.hint_for(origin)
        return ""

    def _find_answer_hint(self, error: sdk.ClientError, translated: WatcherError) -> str:
        body, metadata = error.response.get("Error", {}), error.response["ResponseMetadata"]
        status = metadata.get("HTTPStatusCode", 0)
        if status in _WRONG_ADDRESS and (hint := self._find_bucket_hint(body.get("Code", ""))):
            return hint
        if self._spec.anonymous and isinstance(translated, DeniedError):
            return "the bucket is not public: leave out anonymous, and give the server credentials"
        if error.operation_name == _LIST_VERSIONS and is_access_refused(error):
            return "allow s3:ListBucketVersions; s3:ListBucket does not include it"
        https = f"https://{urlsplit(self._spec.endpoint_url or '').hostname}"
        location = metadata.get("HTTPHeaders", {}).get("location", "")
        if self._is_plain_http and location.startswith(https):
            return "write https:// in endpoint_url"
        is_bare = status == HTTPStatus.BAD_REQUEST and body.get("Code", "") in {"", "400"}
        if self._is_plain_http and is_bare and error.operation_name in _LISTS:
            return (
                f"if the store speaks TLS, write https:// in endpoint_url; else {translated.hint}"
            )
        return ""

    def _find_name_hint(self) -> str:
        if hint := self._find_bucket_hint(_NO_HOST):
            return hint
        if self._spec.endpoint_url and self._spec.addressing_style is AddressingStyle.VIRTUAL:
            return (
                "check endpoint_url, the network and the proxy; if the store has no host for each "
                "bucket, set addressing_style: path"
            )
        return ""

    def _find_bucket_hint(self, code: str) -> str:
        """Return the hint that the endpoint has the bucket in it; empty if it has not.

        Args:
            code: What the store answers. A host may begin with the name of a bucket by chance; no
                listing is answered with these codes then.
        """
        url, bucket = urlsplit(self._spec.endpoint_url or ""), self._spec.bucket
        host, path = url.netloc, url.path.rstrip("/")
        if path.endswith(f"/{bucket}"):
            path = path.removesuffix(f"/{bucket}")
        elif host.startswith(f"{bucket}.") and code in _NO_LISTING:
            host = host.removeprefix(f"{bucket}.")
        else:
            return ""
        return f"the bucket is in endpoint_url too: write {url.scheme}://{host}{path}"

    @property
    def _is_plain_http(self) -> bool:
        return (self._spec.endpoint_url or "").startswith("http://")
