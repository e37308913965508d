"""Sends the request that confirms a subscription of SNS; it follows no redirect."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from watcher.errors import UnavailableError
from watcher.security.endpoint_authorities import EndpointAuthorities
from watcher.sources.s3.connections import guard_session
from watcher.sources.s3.trust import Trust

if TYPE_CHECKING:
    from watcher.clock import Clock

TIMEOUT_S = 5
"""Seconds to connect, and to wait for the answer; SNS waits 15 for ours."""


def confirm_subscription(url: str, clock: Clock) -> None:
    """Send the request that confirms a subscription, and wait for its answer.

    Args:
        url: As ``confirmation.confirmation_url`` returns it.
        clock: The clock of the server.

    Raises:
        UnavailableError: SNS cannot be reached, or does not confirm it.
    """
    session = URLLib3Session(
        # The SDK takes a file here, too.
        verify=cast("bool", os.environ.get("AWS_CA_BUNDLE") or True),
        proxies=get_environ_proxies(url),
        timeout=TIMEOUT_S,
        max_pool_connections=1,
    )
    guard_session(session, clock, Trust(EndpointAuthorities(())))
    try:
        response = session.send(AWSRequest("GET", url).prepare())
    except BotoCoreError as error:
        # The address has the token.
        reason = str(error).replace(url, url.partition("?")[0])
        hint = "does the network let the server reach SNS?"
        raise UnavailableError(f"SNS cannot be reached: {reason}", hint=hint) from error
    finally:
        session.close()
    if response.status_code != 200:  # noqa: PLR2004 - OK
        raise UnavailableError(
            f"SNS does not confirm the subscription: it answers {response.status_code}",
            hint="subscribe again: a token is valid for two days",
        )
