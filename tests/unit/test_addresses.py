"""Normal forms of endpoints, and the addresses that every spelling and translator stands for."""

import pytest

from watcher.addresses import (
    is_below,
    is_loopback,
    is_metadata_address,
    literal_address,
    normal_endpoint,
)

# Each list is split at its white space.
OTHER_ENDPOINTS = """
    https://minio:80 http://minio:8080 http://minio.evil http://minio. http://minio/s3
    http://minio/%2e http://minio%2eevil http://evil/minio http://evil:80/http://minio:80
"""
NO_ENDPOINTS = """
    minio minio:9000 //minio ftp://minio http:// http://:80 http://user@minio
    http://user:pass@minio http://@minio http://minio@evil http://minio?a http://minio/#a
    http://minio? http://minio:port http://minio:99999 http://[::::]
"""
HOST_NAMES = "10.0.0.1. 10..1 08.0.0.1 4294967296 10.0.0.256 0x a"
METADATA = """
    169.254.169.254 169.254.0.1 ::ffff:169.254.169.254 ::ffff:a9fe:a9fe fe80::1 fe80::1%eth0
    fd00:ec2::254 FD00:0EC2:0:0:0:0:0:254 fd20:ce::254 100.100.100.200 fd00:100::100:200
    168.63.129.16 192.0.0.192 fd00:c1::a9fe:a9fe fd00:42::42 fd00:a9fe:a9fe::1
    2852039166 0xA9FEA9FE 0251.0376.0251.0376 169.254.43518
    64:ff9b::a9fe:a9fe 64:ff9b:1::a9fe:a9fe 64:ff9b:1:0:a9:fea9:fe00:0 64:ff9b:1:a9:fe:a9fe::
    64:ff9b:1:a9:fe:a9:fe00:: 2002:a9fe:a9fe::1 ::169.254.169.254 ::ffff:0:169.254.169.254
    64:ff9b:1:a9fe:a9:fe00:: 64:ff9b::6464:64c8
"""
"""Link-local ones, those of clouds, other spellings, and what translators make of them."""
NO_METADATA = """
    64:ff9b::a00:1 64:ff9b:2::a9fe:a9fe 2002:a00:1::a9fe:a9fe ::1 127.0.0.1 169.253.255.255
    169.255.0.0 10.0.0.1 fd00::1 minio 169.254.169.254.nip.example
"""
LOOPBACK = """
    127.0.0.1 127.8.9.1 127.1 0x7f000001 localhost LocalHost [::1] ::1 [0:0:0:0:0:0:0:1]
    [::ffff:127.0.0.1]
"""
NO_LOOPBACK = """
    0.0.0.0 [::] :: 10.0.0.1 127.0.0.1.evil.example 127.evil localhost.evil [::ffff:0.0.0.0]
    [fe80::1] [64:ff9b::7f00:1] [::127.0.0.1] * 0 128.1
"""


@pytest.mark.parametrize(
    "url", ["http://minio:80", "http://minio", "http://minio/", "HTTP://MinIO:80//"]
)
def test_case_default_port_and_trailing_slashes_make_no_difference(url: str) -> None:
    assert normal_endpoint(url) == "http://minio:80"


@pytest.mark.parametrize("url", OTHER_ENDPOINTS.split())
def test_another_endpoint_has_another_form(url: str) -> None:
    """Scheme, host, port and path distinguish endpoints; nothing encoded is decoded."""
    assert normal_endpoint(url) != "http://minio:80"


def test_addresses_have_one_form() -> None:
    """Every spelling of an address is that address; an IPv4-mapped one is the IPv4 address."""
    assert normal_endpoint("http://[0:0::1]:9000") == normal_endpoint("http://[::1]:9000")
    assert normal_endpoint("http://[::ffff:127.0.0.1]") == normal_endpoint("http://127.0.0.1")
    for spelling in ("10.1", "167772161", "0xA000001", "012.0.0.1", "0xa.0.1"):
        assert normal_endpoint(f"http://{spelling}:9000") == "http://10.0.0.1:9000"
    for translated in ("64:ff9b::a00:1", "::10.0.0.1", "2002:a00:1::"):
        assert normal_endpoint(f"http://[{translated}]") != "http://10.0.0.1:80"


@pytest.mark.parametrize("host", [*HOST_NAMES.split(), "10.0.0.1 x", "10.0.0.1\0"])
def test_a_host_that_the_resolver_does_not_read_as_an_address_is_a_name(host: str) -> None:
    assert literal_address(host) is None


@pytest.mark.parametrize("url", ["", *NO_ENDPOINTS.split()])
def test_users_queries_fragments_and_other_schemes_are_refused(url: str) -> None:
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
    """Allowed are the host of the endpoint and those below it, by its scheme and port."""
    assert is_below(url, endpoint) is expected


@pytest.mark.parametrize("address", METADATA.split())
def test_metadata_addresses(address: str) -> None:
    """They are recognised in every spelling and behind every translator."""
    assert is_metadata_address(address)


@pytest.mark.parametrize("address", NO_METADATA.split())
def test_other_addresses_and_names(address: str) -> None:
    assert not is_metadata_address(address)


@pytest.mark.parametrize("host", LOOPBACK.split())
def test_loopback_hosts(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", *NO_LOOPBACK.split()])
def test_hosts_that_other_machines_may_reach(host: str) -> None:
    assert not is_loopback(host)
