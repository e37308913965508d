"""Keys that the store does not show one by one, and the messages that wait for a listing. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.sources.s3.hints.inbox import HintedKey

REFUSED_KEYS_MAX = 10_000
"""Maximum number of keys that wait for the next listing; messages about more are left to their
queue."""


class RefusedKeys:
    """Keys that are done once a listing that begins later is compared. For one thread, but ``len``.

    Attributes:
        reason: Message of the last refusal; empty while single keys are shown.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._is_listing_due = False
        self._waiting: list[HintedKey] = []
        self._being_listed: list[HintedKey] = []

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._waiting) + len(self._being_listed)

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the keys."""
        return (hinted.key for hinted in (*self._waiting, *self._being_listed))

    @property
    def is_being_listed(self) -> bool:
        """Whether a listing has begun that shows some of them."""
        return bool(self._being_listed)

    def put(self, hinted: HintedKey, reason: str) -> None:
        """Have a key wait for the next listing, which is due from now on.

        Args:
            hinted: The key; it fails where too many wait.
            reason: The message of the refusal.
        """
        self.reason = reason
        self._is_listing_due = True
        if len(self._waiting) < REFUSED_KEYS_MAX:
            self._waiting.append(hinted)
        else:
            hinted.fail()

    def take_due(self) -> bool:
        """Return whether a listing became due since the last call: the caller asks for it."""
        is_due, self._is_listing_due = self._is_listing_due, False
        return is_due

    def begin_listing(self) -> None:
        """Note that a listing begins, which shows the keys that wait now."""
        self.end_listing(is_complete=False)
        self._being_listed, self._waiting = self._waiting, []
        self._is_listing_due = False

    def end_listing(self, *, is_complete: bool) -> None:
        """Note that the listing is compared, or was given up; without one this does nothing."""
        listed, self._being_listed = self._being_listed, []
        if is_complete:
            for hinted in listed:
                hinted.settle()
        else:
            self._waiting = listed + self._waiting
