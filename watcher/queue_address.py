"""The address of a queue of Amazon SQS: its normal form, its region, and which queue it is. Pure.

A queue has many URLs: AWS answers for it at regional, legacy, FIPS and dual-stack hosts and at
endpoints of a VPC. Another service that speaks the protocol has whatever URL it gives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from watcher.addresses import normal_endpoint

EXAMPLE = "https://sqs.eu-west-1.amazonaws.com/123456789012/landing"
"""The usual URL of a queue, for messages."""

_REGION = r"(?P<region>[a-z]{2,4}(?:-[a-z]+){1,3}-[0-9]{1,2})"
_AWS_DOMAIN = (
    r"(?:amazonaws\.com(?:\.cn)?|amazonaws\.eu|api\.aws|api\.amazonwebservices\.(?:com\.cn|eu)"
    r"|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)"
)
"""Domains of the partitions of AWS (``partitions.json`` of the SDK), and of dual-stack hosts."""
_HOST_NAME = re.compile(r"[a-z0-9_.:-]+", re.ASCII)
_HOST = re.compile(
    rf"(?:vpce-[a-z0-9-]+\.)?sqs(?:-fips)?\.{_REGION}(?:\.vpce)?\.{_AWS_DOMAIN}", re.ASCII
)
_LEGACY_HOST = re.compile(
    rf"(?:{_REGION}\.)?queue\.(?P<domain>amazonaws\.com(?:\.cn)?)|sqs\.amazonaws\.com", re.ASCII
)
"""Hosts from before 2011, which older releases of the SDK for Python still named. The one without a
region is that of us-east-1."""
_ANY_AWS_HOST = re.compile(rf"(?:.*\.)?{_AWS_DOMAIN}", re.ASCII)
_AWS_PATH = re.compile(r"(?P<account>[0-9]{12})/(?P<name>[A-Za-z0-9_-]{1,80}(?:\.fifo)?)", re.ASCII)
_PATH = re.compile(r"(?:[A-Za-z0-9_.-]+/)*[A-Za-z0-9_-]{1,80}(?:\.fifo)?", re.ASCII)
_ARN = re.compile(
    rf"arn:(?P<partition>aws[a-z-]*):sqs:{_REGION}:(?P<account>[0-9]{{12}}):(?P<name>[A-Za-z0-9_.-]+)",
    re.ASCII,
)
_FIRST_REGION = "us-east-1"
_HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class QueueAddress:
    """The address of a queue.

    Attributes:
        endpoint: Scheme, host and port, without the port that the scheme has.
        path: Below it, without a slash at the beginning.
        region: The region that the host names; empty where the service is not AWS.
    """

    endpoint: str
    path: str
    region: str = ""

    @classmethod
    def parse(cls, url: str) -> QueueAddress:
        """Return the address in a URL; a legacy host becomes the regional one.

        Raises:
            ValueError: It is not the URL of a standard queue; the text says what to write.
        """
        if arn := _ARN.fullmatch(url):
            raise ValueError(
                f'must be the URL of the queue in place of its ARN, write "{_url_of(arn)}"'
            )
        try:
            normal = urlsplit(normal_endpoint(url))
        except ValueError:
            normal = urlsplit("")
        host, path = (normal.hostname or "").rstrip("."), normal.path.strip("/")
        if not path or not _HOST_NAME.fullmatch(host):
            raise ValueError(f'must be the URL of a queue, such as "{EXAMPLE}"')
        if path.endswith(".fifo"):
            raise ValueError(
                "is a FIFO queue, to which S3 does not send, and in which one message that is "
                "left holds up all others: use a standard queue"
            )
        region = _region_of(host)
        if region or _ANY_AWS_HOST.fullmatch(host):
            return cls._parse_aws(normal.scheme, host, normal.port, path, region)
        if not _PATH.fullmatch(path):
            raise ValueError(f'must end in the name of a queue, as "{EXAMPLE}"')
        return cls(_without_default_port(normal), path)

    @classmethod
    def _parse_aws(
        cls, scheme: str, host: str, port: int | None, path: str, region: str
    ) -> QueueAddress:
        if not region:
            raise ValueError(f'must name a host of SQS, as "{EXAMPLE}"')
        if scheme != "https" or port != _HTTPS_PORT:
            raise ValueError("must begin with https:// and have no port, since it leads to AWS")
        if not _AWS_PATH.fullmatch(path):
            raise ValueError(f'must end in the account (12 digits) and the name, as "{EXAMPLE}"')
        if legacy := _LEGACY_HOST.fullmatch(host):
            host = f"sqs.{region}.{legacy['domain'] or 'amazonaws.com'}"
        return cls(f"https://{host}", path, region)

    def __str__(self) -> str:
        """Return the URL in normal form."""
        return f"{self.endpoint}/{self.path}"

    @property
    def is_aws(self) -> bool:
        """Whether the queue is one of AWS."""
        return bool(self.region)

    @property
    def host(self) -> str:
        """Host of the endpoint, without a port."""
        return urlsplit(self.endpoint).hostname or ""

    @property
    def identity(self) -> str:
        """What distinguishes the queue from all others, the same for all of its hosts."""
        return f"{self.region}/{self.path}" if self.is_aws else str(self)

    @property
    def arn(self) -> str:
        """The end of its ARN, without the partition; empty where the service is not AWS."""
        if not self.is_aws:
            return ""
        account, _, name = self.path.partition("/")
        return f":sqs:{self.region}:{account}:{name}"


def _region_of(host: str) -> str:
    """Return the region of a host of SQS; empty for any other host."""
    if match := _HOST.fullmatch(host):
        return match["region"]
    if match := _LEGACY_HOST.fullmatch(host):
        return match["region"] or _FIRST_REGION
    return ""


def _without_default_port(normal: SplitResult) -> str:
    default_port = {"http": 80, "https": _HTTPS_PORT}[normal.scheme]
    return f"{normal.scheme}://{normal.netloc.removesuffix(f':{default_port}')}"


def _url_of(arn: re.Match[str]) -> str:
    domain = "amazonaws.com.cn" if arn["partition"] == "aws-cn" else "amazonaws.com"
    return f"https://sqs.{arn['region']}.{domain}/{arn['account']}/{arn['name']}"
