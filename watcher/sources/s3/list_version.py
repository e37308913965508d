"""Decides which version of ListObjects a store is asked for. Pure.

Version 2 is asked for first. A store that does not know it refuses, or answers as to version 1;
from then on it is asked for version 1, so the decision costs one request in the life of a watch. A
store that has answered version 2 is never asked for the other one while the watch is open.
"""

from __future__ import annotations

import threading

VERSION_1, VERSION_2 = 1, 2


class ListVersion:
    """The version of ListObjects for one bucket. Thread-safe.

    Args:
        configured: The version that the spec demands; None to find out.

    Attributes:
        version: The version to ask for.
    """

    def __init__(self, configured: int | None) -> None:
        self.version = configured or VERSION_2
        self._is_configured = self._is_settled = configured is not None
        self._lock = threading.Lock()

    def reopen(self) -> None:
        """Forget that the store has answered version 2: another one may be there now."""
        with self._lock:
            self._is_settled = self._is_configured or self.version == VERSION_1

    @property
    def is_settled(self) -> bool:
        """Whether no other version will be asked for."""
        return self._is_settled

    def settle(self, version: int) -> bool:
        """Note that the store has answered a version; return whether that changes the version."""
        with self._lock:
            has_changed = not self._is_settled and version != self.version
            if not self._is_settled:
                self.version = version
                self._is_settled = True
            return has_changed
