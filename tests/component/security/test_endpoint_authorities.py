"""Files of authorities are checked by the real OpenSSL, and belong to the hosts of one URL."""

from pathlib import Path

import pytest

from support.certificates import Authority
from watcher.errors import StateError
from watcher.security.endpoint_authorities import EndpointAuthorities


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.parametrize(
    ("url", "files"),
    [
        ("https://minio.example:9000", 1),
        ("https://MINIO.example:9000/landing?list-type=2", 1),
        ("https://landing.minio.example:9000/", 1),
        ("https://minio.example", 0),
        ("https://minio.example:443", 0),
        ("http://minio.example:9000", 0),
        ("https://evilminio.example:9000", 0),
        ("https://gw.example/in", 2),
        ("https://[2001:DB8:0::1]:443", 1),
    ],
)
def test_the_hosts_of_an_endpoint(authority: Authority, url: str, files: int) -> None:
    """Scheme, host and port decide, as for endpoint_url; several files of one URL all count."""
    file = authority.certificate
    authorities = EndpointAuthorities(
        [
            f"https://minio.example:9000={file}",
            f"https://gw.example:443/s3={file}",
            f"https://gw.example={file}",
            f"https://[2001:db8::1]={file}",
        ]
    )
    assert len(authorities.files_for(url)) == files


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("https://minio.example", "an entry is URL=FILE"),
        ("=/ca.pem", "an entry is URL=FILE"),
        ("https://minio.example=", "an entry is URL=FILE"),
        ("minio.example=/ca.pem", "the URL must be http:// or https:// and a host"),
        ("https://me@minio.example=/ca.pem", "the URL must be"),
        ("http://minio.example=/ca.pem", "only an https:// endpoint has authorities"),
        ("https://minio.example=/no/ca.pem", "^/no/ca.pem: .* cannot be read: No such file"),
        ("https://minio.example=/", "^/: .* cannot be read: Is a directory"),
    ],
)
def test_an_entry_that_cannot_be_understood(entry: str, text: str) -> None:
    with pytest.raises(StateError, match=text):
        EndpointAuthorities([entry])


@pytest.mark.parametrize(
    "content", [b"", b"no PEM", b"\xff", b"-----BEGIN CERTIFICATE-----\nAAAA\n", "key"]
)
def test_a_file_without_certificates(authority: Authority, content: bytes | str) -> None:
    """It stops the server from starting, and changes nothing once the server runs."""
    file = authority.certificate
    authorities = EndpointAuthorities([f"https://minio.example={file}"])
    former = authorities.files[0].value
    file.write_bytes(authority.issue("a").key.read_bytes() if isinstance(content, str) else content)
    assert not authorities.files[0].refresh()
    assert (authorities.files[0].is_stale, authorities.files[0].value) == (True, former)
    with pytest.raises(StateError, match=f"^{file}: the authorities cannot be used.*--endpoint-ca"):
        EndpointAuthorities([f"https://minio.example={file}"])


def test_a_bundle_with_names_in_other_encodings(authority: Authority) -> None:
    file = authority.certificate
    file.write_bytes("# Főtanúsítvány\n".encode() + file.read_bytes())
    assert EndpointAuthorities([f"https://minio.example={file}"]).files[0].value
