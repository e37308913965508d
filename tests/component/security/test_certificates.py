"""Key, certificate and authorities are checked by the real OpenSSL before they are used."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as pem

from support.certificates import Authority, Pair
from watcher.errors import StateError
from watcher.security.certificates import CertificateFiles


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue("server")


@pytest.fixture
def files(authority: Authority, pair: Pair) -> CertificateFiles:
    return CertificateFiles(pair.key, pair.certificate, authority.certificate)


def test_a_new_pair_takes_over(files: CertificateFiles, authority: Authority, pair: Pair) -> None:
    """While only one is replaced, the former pair stays in use; clients judge what has expired."""
    former, new = files.value, authority.issue("new", days=-1)
    pair.key.write_bytes(new.key.read_bytes())
    assert (files.refresh(), files.is_stale) == (False, True)
    assert files.value is former
    pair.certificate.write_bytes(new.certificate.read_bytes())
    assert (files.refresh(), files.is_stale) == (True, False)
    used = (files.value.key, files.value.chain)
    assert used == (new.key.read_bytes(), new.certificate.read_bytes())
    assert files.value.authorities == former.authorities


@pytest.mark.parametrize(
    "content", [b"", b"no PEM", b"\xff", b"-----BEGIN CERTIFICATE-----\nAAAA\n"]
)
@pytest.mark.parametrize("part", ["key", "certificate", "authority"])
def test_a_file_that_is_no_pem_is_refused(
    files: CertificateFiles, authority: Authority, pair: Pair, part: str, content: bytes
) -> None:
    """It stops the server from starting, and changes nothing once the server runs."""
    former = files.value
    parts = {**pair._asdict(), "authority": authority.certificate}
    parts[part].write_bytes(content)
    assert not files.refresh()
    assert files.value is former
    with pytest.raises(StateError, match="cannot be used"):
        CertificateFiles(pair.key, pair.certificate, authority.certificate)


def test_a_key_behind_a_password_is_refused(pair: Pair) -> None:
    key = pem.load_pem_private_key(pair.key.read_bytes(), None)
    password = pem.BestAvailableEncryption(b"password")
    pair.key.write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, password))
    with pytest.raises(StateError, match="without a password"):
        CertificateFiles(pair.key, pair.certificate, None)
