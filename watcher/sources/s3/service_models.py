"""Reads the SDK's descriptions of services and endpoints once for the whole process.

Most of the cost of a client is these descriptions: the first client takes 0.1 s of CPU and 6 MB,
each further one 0.02 s and 0.5 MB. With their documentation, in ordered dictionaries as the SDK
reads them, and with the endpoints of all services, they would take 9 MB more. This holds for the
clients of STS and IAM Identity Center, too, which every bucket with a role has.

The description of S3 has one operation more than Amazon's: the listen request of MinIO and RustFS
(minio-go, ``ListenBucketNotification``). So the SDK addresses and signs it like all others.
"""

from __future__ import annotations

import gzip
import json
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from botocore.loaders import JSONFileLoader, Loader

if TYPE_CHECKING:
    from collections.abc import Iterable

LISTEN = "ListenBucketNotification"
"""Name of the operation whose response is a stream of notifications, one JSON object a line."""

_LISTEN_OPERATION = {
    "name": LISTEN,
    "http": {"method": "GET", "requestUri": "/{Bucket}"},
    "input": {"shape": f"{LISTEN}Request"},
    "output": {"shape": f"{LISTEN}Output"},
}
_LISTEN_SHAPES = {
    f"{LISTEN}Request": {
        "type": "structure",
        "required": ["Bucket", "Events", "Ping"],
        "members": {
            "Bucket": {
                "shape": "BucketName",
                "contextParam": {"name": "Bucket"},
                "location": "uri",
                "locationName": "Bucket",
            },
            "Prefix": {"shape": "Prefix", "location": "querystring", "locationName": "prefix"},
            "Events": {"shape": "EventList", "location": "querystring", "locationName": "events"},
            "Ping": {"shape": "MaxKeys", "location": "querystring", "locationName": "ping"},
        },
    },
    f"{LISTEN}Output": {
        "type": "structure",
        "members": {"Body": {"shape": "Body", "streaming": True}},
        "payload": "Body",
    },
}

CLIENTS = frozenset({"s3", "sqs", "sts", "portal.sso", "oidc", "signin"})
"""Services with clients, by the prefixes of their endpoints: those of watches, and those of which
the SDK makes a client to find credentials. There are 300 others."""


class _LeanFiles(JSONFileLoader):
    """Reads descriptions without their documentation, and no endpoints of other services."""

    def load_file(self, file_path: str) -> Any:  # noqa: ANN401 - JSON
        """Return what is in a file; None if there is none.

        Args:
            file_path: Its path without the extension.
        """
        for extension, open_file in ((".json", open), (".json.gz", gzip.open)):
            with suppress(FileNotFoundError), open_file(file_path + extension, "rb") as file:
                return json.load(file, object_pairs_hook=_without_the_unused)
        return None


def _without_the_unused(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON without what nothing here reads.

    Documentation is left empty, since parameters of rule sets must have some. A shape or a member
    may have that name, but is no text.
    """
    found = dict(pairs)
    if isinstance(found.get("documentation"), str):
        found["documentation"] = ""
    # Only a partition of the endpoints has this name in the descriptions of the clients.
    if isinstance(services := found.get("services"), dict):
        found["services"] = {name: services[name] for name in CLIENTS & services.keys()}
    return found


class _SharedLoader(Loader):
    """A loader whose cache several threads may fill; the first one loads for all that wait.

    botocore does not promise that a loader is thread-safe. What it returns is only read.
    """

    def __init__(self) -> None:
        super().__init__(file_loader=_LeanFiles())
        self._lock = threading.RLock()

    def list_available_services(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed through
        with self._lock:
            return super().list_available_services(*args, **kwargs)

    def determine_latest_version(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed through
        with self._lock:
            return super().determine_latest_version(*args, **kwargs)

    def load_service_model(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed through
        """Load a description, with ``LISTEN`` if it is that of S3."""
        with self._lock:
            model = super().load_service_model(*args, **kwargs)
            if args[:2] == ("s3", "service-2"):
                model["operations"].setdefault(LISTEN, _LISTEN_OPERATION)
                model["shapes"].update(_LISTEN_SHAPES)
            return model

    def load_data_with_path(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed through
        with self._lock:
            return super().load_data_with_path(*args, **kwargs)


SERVICE_MODELS = _SharedLoader()
"""The component ``data_loader`` of a session; boto3 would add a path to it for each of its own."""
