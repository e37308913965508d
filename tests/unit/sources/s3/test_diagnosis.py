"""A failure of one bucket gets a hint that names the key of its configuration to change."""

from typing import Any

import pytest
from botocore import exceptions as sdk

from unit.sources.s3.test_errors import client_error
from watcher.errors import DeniedError, NotFoundError, UnavailableError, WatcherError
from watcher.security.endpoint_authorities import EndpointAuthorities
from watcher.sources.s3.diagnosis import Diagnosis
from watcher.sources.s3.trust import Trust
from watcher.spec import AddressingStyle, BucketSpec

HTTPS, HTTP = "https://store.example", "http://store.example:9000"
VIRTUAL = AddressingStyle.VIRTUAL
NO_HOST = sdk.EndpointConnectionError(endpoint_url=HTTPS, error="Name or service not known")
TORN = sdk.ConnectionClosedError(endpoint_url=HTTP)


def tls_error(text: str) -> sdk.SSLError:
    return sdk.SSLError(endpoint_url=f"{HTTPS}:9000/landing?list-type=2", error=OSError(text))


def diagnosed(error: Exception, **spec: Any) -> WatcherError:  # noqa: ANN401 - fields of a spec
    """Return the error that an exception becomes."""
    bucket = BucketSpec("landing", **spec)
    with (
        pytest.raises(WatcherError) as caught,
        Diagnosis(bucket, Trust(EndpointAuthorities())).translated(),
    ):
        raise error
    assert (caught.value.place, caught.value.__cause__) == (bucket.place, error)
    return caught.value


@pytest.mark.parametrize(
    ("error", "spec", "hint"),
    [
        (
            tls_error("[SSL: WRONG_VERSION_NUMBER] wrong version number"),
            {"endpoint_url": HTTPS},
            "speaks TLS: write http:// in endpoint_url",
        ),
        (
            tls_error("[SSL] record layer failure (_ssl.c:1006)"),
            {"endpoint_url": HTTPS},
            "write http:// in endpoint_url",
        ),
        (
            tls_error("CERTIFICATE_VERIFY_FAILED certificate has expired"),
            {"endpoint_url": HTTPS},
            "renew the certificate of the store",
        ),
        (
            tls_error("hostname 'landing.store.example' doesn't match 'store.example'"),
            {"endpoint_url": HTTPS, "addressing_style": VIRTUAL},
            "or set addressing_style: path",
        ),
        (
            tls_error("CERTIFICATE_VERIFY_FAILED unable to get local issuer certificate"),
            {"endpoint_url": HTTPS},
            "--endpoint-ca https://store.example:9000=FILE",
        ),
        (TORN, {"endpoint_url": HTTP}, "if the store speaks TLS, write https://"),
        (client_error("400"), {"endpoint_url": HTTP}, "if the store speaks TLS, write https://"),
        (
            client_error("301", 301, location="https://store.example/landing"),
            {"endpoint_url": HTTP},
            "write https:// in endpoint_url",
        ),
        (NO_HOST, {"endpoint_url": HTTPS, "addressing_style": VIRTUAL}, "addressing_style: path"),
        (
            NO_HOST,
            {"endpoint_url": "https://landing.store.example"},
            "the bucket is in endpoint_url too: write https://store.example",
        ),
        (
            client_error("NoSuchKey", 404),
            {"endpoint_url": "https://landing.store.example"},
            "write https://store.example",
        ),
        (
            client_error("NoSuchKey", 404),
            {"endpoint_url": f"{HTTPS}/s3/landing"},
            "write https://store.example/s3",
        ),
        (
            client_error("AccessDenied", 403),
            {"endpoint_url": f"{HTTPS}/landing"},
            "write https://store.example",
        ),
        (client_error("AccessDenied", 403), {"anonymous": True}, "leave out anonymous"),
    ],
)
def test_a_hint_names_the_key(error: Exception, spec: dict[str, Any], hint: str) -> None:
    assert hint in diagnosed(error, **spec).hint


@pytest.mark.parametrize(
    ("error", "spec", "kind", "hint"),
    [
        (
            client_error("AccessDenied", 403),
            {"endpoint_url": "https://landing.store.example"},
            DeniedError,
            "allow s3:ListBucket",
        ),
        (
            client_error("NoSuchBucket", 404),
            {"endpoint_url": "https://landing.store.example"},
            NotFoundError,
            "create it",
        ),
        (
            client_error("SlowDown", 503),
            {"endpoint_url": f"{HTTPS}/landing"},
            UnavailableError,
            "raise poll_interval",
        ),
        (TORN, {"endpoint_url": HTTPS}, UnavailableError, ""),
        (client_error("NoSuchKey", 404), {"endpoint_url": HTTPS}, UnavailableError, "leave the"),
        (NO_HOST, {"endpoint_url": HTTPS}, UnavailableError, "check endpoint_url"),
        (client_error("ExpiredToken"), {"endpoint_url": HTTP}, DeniedError, "renew them"),
    ],
)
def test_an_address_without_fault(
    error: Exception, spec: dict[str, Any], kind: type[WatcherError], hint: str
) -> None:
    """The hint is that of the failure where nothing in the configuration explains it."""
    found = diagnosed(error, **spec)
    assert type(found) is kind
    assert found.hint.startswith(hint)


def test_an_error_of_the_watcher_keeps_its_hint() -> None:
    own = DeniedError("refused", hint="allow it")
    assert diagnosed(own, anonymous=True).hint == "allow it"
