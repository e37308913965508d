"""Finds the address that confirms a subscription of SNS, in the message that asks for it.

The message may be forged. So nothing of its address counts but the region and the token: the
request goes to SNS of that region, and can confirm a subscription of that topic and nothing else.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlencode, urlsplit

from watcher.errors import ConfigError

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


def _foreign_address() -> ConfigError:
    return ConfigError(
        "the SubscribeURL is no address of SNS that confirms a subscription of the topic",
        hint="nothing was requested; if the message is real, open the address by hand",
    )
