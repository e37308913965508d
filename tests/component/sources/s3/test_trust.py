"""A store with a certificate of its own is read if its authority is named, and only then."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.certificates import Authority
from support.s3.listing import make_source, read
from support.s3.simulated import BUCKET, Store, run_store
from watcher.errors import DeniedError, UnavailableError
from watcher.security.endpoint_authorities import EndpointAuthorities
from watcher.spec import BucketSpec

pytestmark = pytest.mark.usefixtures("credentials", "_once")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "other")


@pytest.fixture
def secured(authority: Authority) -> Iterator[Store]:
    with run_store(tls=authority.issue("store")) as store:
        store.put("a")
        yield store


def keys_of(store: Store, *endpoint_ca: str, endpoint_url: str = "", **spec: Any) -> list[bytes]:  # noqa: ANN401 - fields of a spec
    """Return the keys of a store that is read once."""
    where = BucketSpec(BUCKET, endpoint_url=endpoint_url or store.endpoint_url, **spec)
    with closing(make_source(where, authorities=EndpointAuthorities(endpoint_ca))) as source:
        source.open(lambda: None)
        return [entry.path for entry in read(source)]


def refusal(store: Store, *endpoint_ca: str, endpoint_url: str = "", **spec: Any) -> str:  # noqa: ANN401 - fields of a spec
    """Return the error of a store that cannot be read."""
    with pytest.raises(UnavailableError) as caught:
        keys_of(store, *endpoint_ca, endpoint_url=endpoint_url, **spec)
    return str(caught.value)


def test_an_authority_that_is_named(secured: Store, authority: Authority) -> None:
    assert keys_of(secured, f"{secured.endpoint_url}={authority.certificate}") == [b"a"]


def test_an_authority_that_is_not_named(
    secured: Store, authority: Authority, other: Authority
) -> None:
    """The error names the flag, or the file that lacks the authority; another URL's counts not."""
    url = secured.endpoint_url
    assert "CERTIFICATE_VERIFY_FAILED" in refusal(secured)
    assert refusal(secured).endswith(f"--endpoint-ca {url}=FILE")
    elsewhere = f"https://127.0.0.1:1={authority.certificate}"
    assert refusal(secured, elsewhere).endswith(f"--endpoint-ca {url}=FILE")
    text = f"put the authority of the store's certificate into {other.certificate} (--endpoint-ca)"
    assert refusal(secured, f"{url}={other.certificate}").endswith(text)
    assert not secured.log


def test_a_file_that_changes(secured: Store, authority: Authority, other: Authority) -> None:
    """New connections trust what the file has at their time, no more and no less."""
    file = other.certificate
    wrong, right = file.read_bytes(), authority.certificate.read_bytes()
    authorities = EndpointAuthorities([f"{secured.endpoint_url}={file}"])
    where = BucketSpec(BUCKET, endpoint_url=secured.endpoint_url)
    with closing(make_source(where, authorities=authorities)) as source:
        for content in (wrong, right, wrong):
            file.write_bytes(content)
            authorities.files[0].refresh()
            if content is right:
                source.open(lambda: None)
            else:
                with pytest.raises(UnavailableError, match=str(file)):
                    source.open(lambda: None)


def test_public_authorities_stay(
    secured: Store, authority: Authority, other: Authority, aws_environment: pytest.MonkeyPatch
) -> None:
    """The files are trusted beside the bundle of the SDK, not in its place."""
    aws_environment.setenv("AWS_CA_BUNDLE", str(authority.certificate))
    assert keys_of(secured, f"{secured.endpoint_url}={other.certificate}") == [b"a"]


def test_the_bundle_of_openssl(
    secured: Store, authority: Authority, tmp_path: Path, aws_environment: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE is trusted too; one that cannot be used is named where it would be needed."""
    aws_environment.setenv("SSL_CERT_FILE", str(authority.certificate))
    assert keys_of(secured) == [b"a"]
    aws_environment.setenv("SSL_CERT_FILE", str(tmp_path / "no.pem"))
    assert f"(SSL_CERT_FILE names {tmp_path}/no.pem, which cannot be used)" in refusal(secured)


@pytest.mark.parametrize(
    ("source", "content"),
    [
        ("AWS_CA_BUNDLE", None),
        ("AWS_CA_BUNDLE", b""),
        ("AWS_CA_BUNDLE", b"no PEM"),
        ("REQUESTS_CA_BUNDLE", None),
        ("profile", None),
    ],
)
def test_a_bundle_that_cannot_be_used(
    secured: Store,
    tmp_path: Path,
    aws_environment: pytest.MonkeyPatch,
    source: str,
    content: bytes | None,
) -> None:
    """The error names the file and the setting; the SDK would name neither."""
    bundle, profile = tmp_path / "bundle.pem", {}
    if content is not None:
        bundle.write_bytes(content)
    if source == "profile":
        (tmp_path / "config").write_text(f"[profile own]\nca_bundle = {bundle}\n")
        (tmp_path / "credentials").write_text(
            "[own]\naws_access_key_id = a\naws_secret_access_key = b\n"
        )
        profile = {"profile": "own"}
        source = "ca_bundle of the profile"
    else:
        aws_environment.setenv(source, str(bundle))
    text = refusal(secured, **profile)
    assert f"the certificate authorities in {bundle} cannot be used: " in text
    assert text.endswith(f"; correct {source}, which names this file")


@pytest.mark.parametrize("source", ["AWS_CA_BUNDLE", "profile"])
def test_an_empty_bundle_skips_nothing(
    secured: Store, tmp_path: Path, aws_environment: pytest.MonkeyPatch, source: str
) -> None:
    """An empty value, with which the SDK once trusted any certificate, is an error."""
    if source == "profile":
        (tmp_path / "config").write_text("[default]\nca_bundle =\n")
    else:
        aws_environment.setenv(source, "")
    with pytest.raises(DeniedError, match=r"ca_bundle, AWS_CA_BUNDLE, .* empty"):
        keys_of(secured)
    assert not secured.log


def test_a_certificate_for_another_host(secured: Store, authority: Authority) -> None:
    url = secured.endpoint_url.replace("127.0.0.1", "localhost")
    text = refusal(secured, f"{url}={authority.certificate}", endpoint_url=url)
    assert text.endswith("write a host in endpoint_url that the certificate is for")


def test_a_certificate_that_has_expired(authority: Authority) -> None:
    with run_store(tls=authority.issue("old", days=-1)) as store:
        text = refusal(store, f"{store.endpoint_url}={authority.certificate}")
    assert "certificate has expired" in text
    assert f"with the authorities in {authority.certificate} trusted too; renew the" in text


def test_the_other_protocol(secured: Store, store: Store) -> None:
    """The answer of the store shows that it speaks TLS, or does not."""
    plain = secured.endpoint_url.replace("https:", "http:")
    assert refusal(secured, endpoint_url=plain).endswith("write https:// in endpoint_url")
    with_tls = store.endpoint_url.replace("http:", "https:")
    assert "write http:// in endpoint_url" in refusal(store, endpoint_url=with_tls)
