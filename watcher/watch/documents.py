"""Configurations as clients have sent them: parsed, and authorized by the policy of this server."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from watcher.errors import ConfigError, LimitError
from watcher.limits.fair_queue import run_in_thread
from watcher.spec import MAX_CONFIG_BYTES

if TYPE_CHECKING:
    from watcher.limits.fair_queue import FairQueue
    from watcher.security.policy import Policy
    from watcher.spec import AuthorizedSpec, Spec


class Documents:
    """Turns documents into specs.

    Args:
        policy: Decides who may watch what.
        fair_queue: Gives turns to the parsing.
    """

    def __init__(self, policy: Policy, fair_queue: FairQueue) -> None:
        self._policy = policy
        self._fair_queue = fair_queue

    async def authorize(self, document: bytes, principal: str) -> AuthorizedSpec:
        """Return what a principal may watch as a document says.

        Raises:
            ConfigError: The document is not valid.
            LimitError: It is too long.
            DeniedError: The principal may not watch the place.
        """
        spec = await parse_document(document, principal, self._fair_queue)
        return replace(self._policy.authorize(spec, principal), document=document)


async def parse_document(document: bytes, principal: str, fair_queue: FairQueue) -> Spec:
    """Return what a document says, whether or not the principal may watch it.

    Args:
        document: The document.
        principal: Whose turn its parsing is, which may be CPU-heavy.
        fair_queue: Gives turns.

    Raises:
        ConfigError: The document is not valid.
        LimitError: It is too long.
    """
    if len(document) > MAX_CONFIG_BYTES:
        raise LimitError(
            f"the configuration has {len(document)} bytes, at most {MAX_CONFIG_BYTES} are allowed",
            hint="shorten it, or use several event sources",
        )
    async with fair_queue.turn(principal):
        return await run_in_thread(partial(_parse, document))


def _parse(document: bytes) -> Spec:
    """Return what a document says.

    Raises:
        ConfigError: The document is not valid.
    """
    from watcher.config.schema import parse_spec  # noqa: PLC0415 - 1.5 MiB, for the first document

    return parse_spec(document)


def encode_document(document: bytes) -> str:
    """Return a document as a JSON string can have it."""
    return b64encode(document).decode()


def decode_document(text: str) -> bytes:
    """Return the document in a JSON string.

    Raises:
        ConfigError: There is none.
    """
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise ConfigError("the document cannot be decoded") from error
