"""Reads the SDK's descriptions of services and endpoints once for the whole process.

Most of the cost of a client is these descriptions: the first client takes 0.1 s of CPU and 13 MB,
each further one 0.02 s and 0.5 MB. This holds for the clients of STS and IAM Identity Center, too,
which every bucket with a role has.

The description of S3 has one operation more than Amazon's: the listen request of MinIO and RustFS
(minio-go, ``ListenBucketNotification``). So the SDK addresses and signs it like all others.
"""

from __future__ import annotations

import threading
from typing import Any

from botocore.loaders import Loader

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


class _SharedLoader(Loader):
    """A loader whose cache several threads may fill; the first one loads for all that wait.

    botocore does not promise that a loader is thread-safe. What it returns is only read.
    """

    def __init__(self) -> None:
        super().__init__()
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
