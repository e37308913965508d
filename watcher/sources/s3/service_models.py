"""Reads the SDK's descriptions of services and endpoints once for the whole process.

Most of the cost of a client is these descriptions: the first client takes 0.1 s of CPU and 13 MB,
each further one 0.02 s and 0.5 MB. This holds for the clients of STS and IAM Identity Center, too,
which every bucket with a role has.
"""

from __future__ import annotations

import threading
from typing import Any

from botocore.loaders import Loader


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
        with self._lock:
            return super().load_service_model(*args, **kwargs)

    def load_data_with_path(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed through
        with self._lock:
            return super().load_data_with_path(*args, **kwargs)


SERVICE_MODELS = _SharedLoader()
"""The component ``data_loader`` of a session; boto3 would add a path to it for each of its own."""
