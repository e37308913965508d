"""Confirms subscriptions of SNS, by the request that its message asks for.

The message may be forged. So nothing of its address counts but the region and the token: the
request goes to SNS of that region, can confirm a subscription of that topic and nothing else, and
follows no redirect.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, urlencode, urlsplit

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from watcher.errors import ConfigError, UnavailableError
from watcher.security.endpoint_authorities import EndpointAuthorities
from watcher.sources.s3.connections import guard_session
from watcher.sources.s3.trust import Trust

if TYPE_CHECKING:
    from watcher.clock import Clock

TIMEOUT_S = 5
"""Seconds to connect, and to wait for the answer; SNS waits 15 for ours."""

_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]{1,40}):[0-9]{12}:[A-Za-z0-9_.-]{1,256}")
_HOST = re.compile(r"sns\.([a-z0-9-]{1,40})\.amazonaws\.com(?:\.cn)?")
_TOKEN = re.compile("[A-Za-z0-9]{1,1024}")
_ACTION = "ConfirmSubscription"


def is_topic(arn: str) -> bool:
    """Return whether a text is the ARN of a topic."""
    return _TOPIC.fullmatch(arn) is not None


def confirmation_url(topic: str, url: str) -> str:
    """Return the address that confirms a subscription, made of the parts of the one in a message.

    Args:
        topic: ARN of the topic.
        url: ``SubscribeURL`` of the message.

    Raises:
        ConfigError: It is not an address of SNS that confirms a subscription of this topic.
    """
    try:
        parts = urlsplit(url)
        query = parse_qs(parts.query, max_num_fields=10)
        port = parts.port
    except ValueError as error:
        raise _foreign_address() from error
    host, arn = _HOST.fullmatch(parts.netloc), _TOPIC.fullmatch(topic)
    token = query.get("Token", [""])
    is_expected = (
        parts.scheme == "https"
        and port is None
        and parts.path in {"", "/"}
        and query.get("Action") == [_ACTION]
        and query.get("TopicArn") == [topic]
        and len(token) == 1
        and _TOKEN.fullmatch(token[0])
    )
    if not (host and arn and host[1] == arn[1] and is_expected):
        raise _foreign_address()
    confirming = urlencode({"Action": _ACTION, "TopicArn": topic, "Token": token[0]})
    return f"https://{host[0]}/?{confirming}"


def confirm_subscription(url: str, clock: Clock) -> None:
    """Send the request that confirms a subscription, and wait for its answer.

    Args:
        url: As ``confirmation_url`` returns it.
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


def _foreign_address() -> ConfigError:
    return ConfigError(
        "the SubscribeURL is no address of SNS that confirms a subscription of the topic",
        hint="nothing was requested; if the message is real, open the address by hand",
    )
