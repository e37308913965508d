"""The descriptions that clients are made of, beside those that the SDK reads itself."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.loaders import Loader

from watcher.sources.s3.service_models import _LISTEN_SHAPES, CLIENTS, LISTEN, _SharedLoader


def without_texts(node: Any) -> Any:  # noqa: ANN401 - JSON
    """Return JSON in which texts that are called ``documentation`` are empty."""
    if isinstance(node, list):
        return [without_texts(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: "" if key == "documentation" and isinstance(value, str) else without_texts(value)
        for key, value in node.items()
    }


@pytest.mark.parametrize("service", ["s3", "sqs", "sso", "sts"])
@pytest.mark.parametrize("kind", ["service-2", "endpoint-rule-set-1", "paginators-1"])
def test_descriptions_lack_nothing_but_their_documentation(service: str, kind: str) -> None:
    expected = without_texts(Loader().load_service_model(service, kind))
    # A new one, since the clients of other tests change the description of S3.
    found = _SharedLoader().load_service_model(service, kind)
    if (service, kind) == ("s3", "service-2"):
        expected["operations"][LISTEN] = found["operations"][LISTEN]
        expected["shapes"].update(_LISTEN_SHAPES)
    assert found == expected
    assert not found.get("documentation")


def test_endpoints_are_those_of_the_sdk_for_all_services_that_have_clients() -> None:
    expected = without_texts(Loader().load_data("endpoints"))
    for partition in expected["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in CLIENTS & services.keys()}
    found = _SharedLoader().load_data("endpoints")
    assert found == expected
    assert {"s3", "sqs", "sts", "portal.sso", "oidc"} <= found["partitions"][0]["services"].keys()


@pytest.mark.parametrize("service", ["s3", "sqs", "sts", "sso", "sso-oidc", "signin"])
def test_services_that_may_have_clients_are_known_by_their_endpoints(service: str) -> None:
    metadata = Loader().load_service_model(service, "service-2")["metadata"]
    assert metadata["endpointPrefix"] in CLIENTS
