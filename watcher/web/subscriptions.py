"""Decides which subscriptions of SNS to ``/hint`` are confirmed, one at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from watcher.errors import DeniedError, UnavailableError, WatcherError
from watcher.limits.fair_queue import run_in_thread
from watcher.sources.s3.hints.confirmation import confirmation_url, is_topic

if TYPE_CHECKING:
    from watcher.clock import Clock

KNOWN_TOPICS_MAX = 1000
"""Maximum number of topics whose failure is remembered, so that it is logged once."""


class Subscriptions:
    """Confirms subscriptions where the operator has allowed it.

    Args:
        clock: The clock of the server.
        may_confirm: The operator has.
    """

    def __init__(self, clock: Clock, *, may_confirm: bool) -> None:
        self._clock = clock
        self._may_confirm = may_confirm
        self._failed: set[str] = set()
        self._confirming = asyncio.Lock()
        self._log = structlog.get_logger("watcher")

    async def confirm(self, topic: str, url: str) -> None:
        """Confirm a subscription.

        Args:
            topic: ARN of the topic, as a message has it.
            url: Address that the message asks to request.

        Raises:
            ConfigError: The message does not name a topic and an address of SNS.
            DeniedError: The server confirms none.
            UnavailableError: SNS cannot be reached, or another confirmation has not ended.
        """
        try:
            await self._confirm(topic, confirmation_url(topic, url))
        except WatcherError as error:
            self._log_failure(topic, error)
            raise
        self._failed.discard(topic)
        self._log.info("hint.subscribed", topic=topic)

    async def _confirm(self, topic: str, url: str) -> None:
        if not self._may_confirm:
            raise DeniedError(
                "this server confirms no subscriptions",
                place=topic,
                hint="start it with --confirm-subscriptions, and subscribe again",
            )
        if self._confirming.locked():
            raise UnavailableError("another subscription is being confirmed", place=topic)
        async with self._confirming:
            await run_in_thread(lambda: self._request(url))

    def _request(self, url: str) -> None:
        from watcher.sources.s3.hints.confirmation_request import confirm_subscription  # noqa: PLC0415 - botocore takes 0.2 s

        confirm_subscription(url, self._clock)

    def _log_failure(self, topic: str, error: WatcherError) -> None:
        """Log that a topic is not subscribed, unless that was logged before."""
        is_new = topic not in self._failed and len(self._failed) < KNOWN_TOPICS_MAX
        if is_new and is_topic(topic):
            self._failed.add(topic)
            self._log.warning("hint.unsubscribed", topic=topic, error=str(error))
