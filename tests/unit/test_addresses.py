"""Decides whether endpoints that are the same are equal, and others are not, and whether addresses are told apart in all their clothes."""

from __future__ import annotations

import pytest

from watcher.addresses import (
    is_below,
    is_loopback,
    is_metadata_address,
    literal_address,
    normal_endpoint,
)


@pytest.mark.parametrize(
    "url",
    [
        "http://minio:80",
        "http://minio",
        "http://minio/",
        "HTTP://MinIO:80//",
    ],
)
def test_the_same_endpoint_has_one_form(url: str) -> None:
    """Case, the default port and trailing slashes make no difference."""
    assert normal_endpoint(url) == "http://minio:80"


@pytest.mark.parametrize(
    "url",
    [
        "https://minio:80",
        "http://minio:8080",
        "http://minio.evil",
        "http://minio.",
        "http://minio/s3",
        "http://minio/%2e",
        "http://minio%2eevil",
        "http://evil/minio",
        "http://evil:80/http://minio:80",
    ],
)
def test_another_endpoint_has_another_form(url: str) -> None:
    """Scheme, host, port and path make one, however alike they look; nothing encoded is decoded."""
    assert normal_endpoint(url) != "http://minio:80"


def test_addresses_have_one_form() -> None:
    """An IPv6 address counts, not its spelling, and one that stands for an IPv4 address is that; so is every number that is read as one."""
    assert normal_endpoint("http://[0:0::1]:9000") == normal_endpoint("http://[::1]:9000")
    assert normal_endpoint("http://[::ffff:127.0.0.1]") == normal_endpoint("http://127.0.0.1")
    for spelling in ("10.1", "167772161", "0xA000001", "012.0.0.1", "0xa.0.1"):
        assert normal_endpoint(f"http://{spelling}:9000") == "http://10.0.0.1:9000"


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1.",
        "10..1",
        "08.0.0.1",
        "4294967296",
        "10.0.0.256",
        "0x",
        "a",
        "10.0.0.1 x",
        "10.0.0.1\0",
    ],
)
def test_what_is_nearly_an_address_is_a_name(host: str) -> None:
    """What the resolver does not read as an address to its end is looked up as a name, or not at all."""
    assert literal_address(host) is None


@pytest.mark.parametrize("address", ["64:ff9b::a00:1", "::10.0.0.1", "2002:a00:1::"])
def test_translated_addresses_have_a_form_of_their_own(address: str) -> None:
    """What may or may not lead to an IPv4 address is not equal to it."""
    assert normal_endpoint(f"http://[{address}]") != normal_endpoint("http://10.0.0.1")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "minio",
        "minio:9000",
        "//minio",
        "ftp://minio",
        "http://",
        "http://:80",
        "http://user@minio",
        "http://user:pass@minio",
        "http://@minio",
        "http://minio@evil",
        "http://minio?a",
        "http://minio/#a",
        "http://minio?",
        "http://minio:port",
        "http://minio:99999",
        "http://[::::]",
    ],
)
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    """Users, queries, fragments and what is no URL are errors, not something to be cleaned up."""
    with pytest.raises(ValueError, match=r".+"):
        normal_endpoint(url)


@pytest.mark.parametrize(
    ("url", "endpoint", "expected"),
    [
        ("http://minio:9000/b?list-type=2&prefix=a", "http://minio:9000", True),
        ("http://b.minio:9000/?list-type=2", "http://MINIO:9000/", True),
        ("http://minio:9001/b", "http://minio:9000", False),
        ("https://minio:9000/b", "http://minio:9000", False),
        ("http://evilminio:9000/b", "http://minio:9000", False),
        ("http://minio.evil:9000/b", "http://minio:9000", False),
        ("http://b.10.0.0.1:9000/", "http://10.0.0.1:9000", False),
        ("http://10.0.0.1:9000/", "http://0xa000001:9000", True),
        ("http://169.254.169.254/", "http://254.169.254", False),
        ("https://s3.us-east-1.amazonaws.com/b", "http://minio:9000", False),
    ],
)
def test_requests_stay_below_their_endpoint(url: str, endpoint: str, *, expected: bool) -> None:
    """A request may go to the host of its endpoint and to the hosts below it, by its scheme and port; an address has none below it."""
    assert is_below(url, endpoint) is expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("169.254.169.254", True),
        ("169.254.0.1", True),
        ("::ffff:169.254.169.254", True),
        ("::ffff:a9fe:a9fe", True),
        ("fe80::1", True),
        ("fe80::1%eth0", True),
        ("fd00:ec2::254", True),
        ("FD00:0EC2:0:0:0:0:0:254", True),
        ("fd20:ce::254", True),
        ("100.100.100.200", True),
        ("fd00:100::100:200", True),
        ("168.63.129.16", True),
        ("192.0.0.192", True),
        ("fd00:c1::a9fe:a9fe", True),
        ("fd00:42::42", True),
        ("fd00:a9fe:a9fe::1", True),
        ("2852039166", True),
        ("0xA9FEA9FE", True),
        ("0251.0376.0251.0376", True),
        ("169.254.43518", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("64:ff9b:1::a9fe:a9fe", True),
        ("64:ff9b:1:0:a9:fea9:fe00:0", True),
        ("64:ff9b:1:a9:fe:a9fe::", True),
        ("64:ff9b:1:a9fe:a9:fe00::", True),
        ("2002:a9fe:a9fe::1", True),
        ("::169.254.169.254", True),
        ("::ffff:0:169.254.169.254", True),
        ("64:ff9b::6464:64c8", True),
        ("64:ff9b::a00:1", False),
        ("64:ff9b:2::a9fe:a9fe", False),
        ("2002:a00:1::a9fe:a9fe", False),
        ("::1", False),
        ("127.0.0.1", False),
        ("169.253.255.255", False),
        ("169.255.0.0", False),
        ("10.0.0.1", False),
        ("fd00::1", False),
        ("minio", False),
        ("169.254.169.254.nip.example", False),
    ],
)
def test_privileged_addresses(address: str, *, expected: bool) -> None:
    """What is link-local or a cloud's own is told, in every spelling and behind every translator; a name is no address."""
    assert is_metadata_address(address) is expected


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.8.9.1",
        "127.1",
        "0x7f000001",
        "localhost",
        "LocalHost",
        "[::1]",
        "::1",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
    ],
)
def test_what_only_this_machine_reaches(host: str) -> None:
    """Loopback addresses of both families, and localhost, are of this machine alone."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "0.0.0.0",  # noqa: S104 - nothing listens there
        "[::]",
        "::",
        "10.0.0.1",
        "127.0.0.1.evil.example",
        "127.evil",
        "localhost.evil",
        "[::ffff:0.0.0.0]",
        "[fe80::1]",
        "[64:ff9b::7f00:1]",
        "[::127.0.0.1]",
        "*",
        "0",
        "128.1",
    ],
)
def test_what_others_reach(host: str) -> None:
    """Every other address, and every name that only begins like one of this machine's, may be reached from elsewhere."""
    assert not is_loopback(host)
