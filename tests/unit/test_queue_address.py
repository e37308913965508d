"""Every URL of a queue has a normal form, a region and an identity; others say what to write."""

import re

import pytest

from watcher.queue_address import EXAMPLE, QueueAddress

IRELAND = "eu-west-1/123456789012/landing"
NO_QUEUE = f'must be the URL of a queue, such as "{EXAMPLE}"'
NO_ACCOUNT = f'must end in the account (12 digits) and the name, as "{EXAMPLE}"'
NO_SQS = f'must name a host of SQS, as "{EXAMPLE}"'
NO_TLS = "must begin with https:// and have no port, since it leads to AWS"
FIFO = (
    "is a FIFO queue, to which S3 does not send, and in which one message that is left holds up "
    "all others: use a standard queue"
)
NO_URL = 'must be the URL of the queue in place of its ARN, write "https://sqs.'


@pytest.mark.parametrize(
    ("host", "normal", "region"),
    [
        ("sqs.eu-west-1.amazonaws.com", "", "eu-west-1"),
        ("SQS.eu-west-1.amazonaws.com:443", "sqs.eu-west-1.amazonaws.com", "eu-west-1"),
        ("sqs.eu-west-1.amazonaws.com.", "sqs.eu-west-1.amazonaws.com", "eu-west-1"),
        ("sqs.cn-north-1.amazonaws.com.cn", "", "cn-north-1"),
        ("sqs.us-iso-east-1.c2s.ic.gov", "", "us-iso-east-1"),
        ("sqs.us-isob-east-1.sc2s.sgov.gov", "", "us-isob-east-1"),
        ("sqs.eusc-de-east-1.amazonaws.eu", "", "eusc-de-east-1"),
        ("sqs-fips.us-gov-west-1.amazonaws.com", "", "us-gov-west-1"),
        ("sqs.ap-southeast-2.api.aws", "", "ap-southeast-2"),
        ("sqs-fips.us-east-1.api.aws", "", "us-east-1"),
        ("sqs.cn-north-1.api.amazonwebservices.com.cn", "", "cn-north-1"),
        ("vpce-0a1b-4e5f.sqs.us-east-1.vpce.amazonaws.com", "", "us-east-1"),
        ("vpce-0a1b-4e5f-us-east-1a.sqs.us-east-1.vpce.amazonaws.com", "", "us-east-1"),
        ("eu-west-1.queue.amazonaws.com", "sqs.eu-west-1.amazonaws.com", "eu-west-1"),
        ("cn-north-1.queue.amazonaws.com.cn", "sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("queue.amazonaws.com", "sqs.us-east-1.amazonaws.com", "us-east-1"),
        ("sqs.amazonaws.com", "sqs.us-east-1.amazonaws.com", "us-east-1"),
    ],
)
def test_a_host_of_aws_names_the_region(host: str, normal: str, region: str) -> None:
    """Legacy hosts, which an endpoint of a VPC does not serve, become the regional ones."""
    address = QueueAddress.parse(f"https://{host}/123456789012/landing/")
    assert str(address) == f"https://{normal or host}/123456789012/landing"
    assert address.is_aws
    assert address.region == region
    assert address.identity == f"{region}/123456789012/landing"
    assert address.arn == f":sqs:{region}:123456789012:landing"
    assert QueueAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("http://localhost:4566/000000000000/landing", ""),
        ("HTTP://Queues:80/landing/", "http://queues/landing"),
        ("https://queues:443/queue/landing", "https://queues/queue/landing"),
        ("http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/landing", ""),
        ("http://[0::1]:5000/queue/us-east-1/000000000000/landing_2", ""),
        ("http://evil.example/x.amazonaws.com/123456789012/landing", ""),
    ],
)
def test_another_service_has_its_own_urls(url: str, normal: str) -> None:
    """They may be http, and name no region."""
    address = QueueAddress.parse(url)
    assert str(address) == (normal or url.replace("0::1", "::1"))
    assert (address.region, address.is_aws, address.arn) == ("", False, "")
    assert address.identity == str(address)


def test_a_queue_is_the_same_at_all_hosts_of_aws() -> None:
    hosts = "sqs.eu-west-1.amazonaws.com eu-west-1.queue.amazonaws.com sqs.eu-west-1.api.aws"
    hosts += " vpce-0a1b.sqs.eu-west-1.vpce.amazonaws.com sqs-fips.eu-west-1.amazonaws.com"
    urls = [f"https://{host}/123456789012/landing" for host in hosts.split()]
    assert {QueueAddress.parse(url).identity for url in urls} == {IRELAND}
    others = [EXAMPLE.replace("landing", "Landing"), EXAMPLE.replace("west", "north")]
    others += [EXAMPLE.replace("12", "21"), "http://localhost:1/123456789012/landing"]
    assert IRELAND not in {QueueAddress.parse(url).identity for url in others}


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("landing", NO_QUEUE),
        ("", NO_QUEUE),
        ("sqs.eu-west-1.amazonaws.com/123456789012/landing", NO_QUEUE),
        ("https://sqs.eu-west-1.amazonaws.com", NO_QUEUE),
        ("https://sqs.eu-west-1.amazonaws.com/", NO_QUEUE),
        (f"{EXAMPLE}?Action=ReceiveMessage", NO_QUEUE),
        ("https://me:secret@queues/landing", NO_QUEUE),
        ("https://que ues/landing", NO_QUEUE),
        ("sqs://queues/landing", NO_QUEUE),
        (EXAMPLE.replace("https", "http"), NO_TLS),
        (EXAMPLE.replace(".com", ".com:8443"), NO_TLS),
        (EXAMPLE.replace("sqs", "s3"), NO_SQS),
        (EXAMPLE.replace("sqs", "sqs.evil.s3"), NO_SQS),
        ("https://amazonaws.com/123456789012/landing", NO_SQS),
        (EXAMPLE.replace("/123456789012", ""), NO_ACCOUNT),
        (EXAMPLE.replace("123456789012", "12345678901"), NO_ACCOUNT),
        (EXAMPLE.replace("landing", "land/ing"), NO_ACCOUNT),
        (EXAMPLE.replace("landing", "x" * 81), NO_ACCOUNT),
        (f"{EXAMPLE}.fifo", FIFO),
        ("http://localhost:4566/000000000000/landing.fifo", FIFO),
        (
            "http://localhost:4566/000000000000/lan%64ing",
            f'must end in the name of a queue, as "{EXAMPLE}"',
        ),
        (
            "arn:aws:sqs:eu-west-1:123456789012:landing",
            f'{NO_URL}eu-west-1.amazonaws.com/123456789012/landing"',
        ),
        (
            "arn:aws-cn:sqs:cn-north-1:123456789012:a",
            f'{NO_URL}cn-north-1.amazonaws.com.cn/123456789012/a"',
        ),
    ],
)
def test_what_is_no_standard_queue_says_what_to_write(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem) + "$"):
        QueueAddress.parse(url)
