"""``deploy/`` and ``examples/`` are valid by the published schemas; unknown keys are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from system.cluster.cluster import (
    EXAMPLES,
    OVERLAYS,
    VALUED,
    Manifest,
    Programs,
    documents,
    name_of,
    one,
)


class Schemas:
    """The schemas of all kinds, without additional properties."""

    def __init__(self, directory: Path) -> None:
        self._by_kind: dict[tuple[str, str], Manifest] = {}
        # Argo Events has copies of Kubernetes' definitions, which must not replace them.
        for name in ("argo-events", "kubernetes"):
            definitions = json.loads((directory / f"{name}.schema.json").read_bytes())[
                "definitions"
            ]
            closed = {key: _closed(schema) for key, schema in definitions.items()}
            for key, schema in definitions.items():
                for kind in schema.get("x-kubernetes-group-version-kind", ()):
                    version = "/".join(filter(None, (kind["group"], kind["version"])))
                    self._by_kind[version, kind["kind"]] = {
                        "$ref": f"#/definitions/{key}",
                        "definitions": closed,
                    }
        # Those of Argo Events accept anything.
        crds = directory / "crds"
        for file in (*crds.glob("monitoring.*.yaml"), *crds.glob("postgresql.*.yaml")):
            spec = yaml.safe_load(file.read_text())["spec"]
            for version in spec["versions"]:
                schema = _closed(version["schema"]["openAPIV3Schema"])
                self._by_kind[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema

    def problems(self, manifest: Manifest) -> list[str]:
        """Return the problems of a manifest, each with its path; may be empty."""
        validator = Draft202012Validator(self._by_kind[manifest["apiVersion"], manifest["kind"]])
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


def _closed(node: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Return a schema that refuses unknown keys, and accepts numbers where Kubernetes does."""
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {key: _closed(value) for key, value in node.items()}
    # The value of "type" is a mapping where a property has that name.
    if closed.get("format") == "int-or-string":
        closed["type"] = ["integer", "string"]
    if closed.get("type") == "object" and isinstance(closed.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed


@pytest.fixture(scope="session")
def schemas(program_directory: Path) -> Schemas:
    return Schemas(program_directory)


@pytest.mark.parametrize("files", VALUED.values(), ids=VALUED)
def test_chart_renders_what_is_known(
    programs: Programs, schemas: Schemas, files: tuple[Path, ...]
) -> None:
    for manifest in programs.render(*files):
        assert schemas.problems(manifest) == [], manifest["kind"]


@pytest.mark.parametrize("example", EXAMPLES, ids=map(name_of, EXAMPLES))
def test_examples_are_known_to_argo_events(schemas: Schemas, example: Path) -> None:
    """The API server would accept any EventSource, so the schema judges."""
    for manifest in documents(example.read_text()):
        assert schemas.problems(manifest) == []


def test_mistakes_are_found(programs: Programs, schemas: Schemas) -> None:
    workload = one(programs.build(OVERLAYS / "volume"), "StatefulSet")
    workload["spec"] |= {"podManagement": "Parallel", "replicas": "one"}
    workload["spec"]["template"]["spec"]["volumes"] = {}
    assert sorted(schemas.problems(workload)) == [
        "$.spec.replicas: 'one' is not of type 'integer'",
        "$.spec.template.spec.volumes: {} is not of type 'array'",
        "$.spec: Additional properties are not allowed ('podManagement' was unexpected)",
    ]
