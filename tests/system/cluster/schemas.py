"""Validates manifests by the schemas of Kubernetes, Argo Events and resource definitions.

Unknown keys are refused.
"""

import json
from pathlib import Path
from typing import Any, cast

import yaml
from jsonschema import Draft202012Validator

from system.cluster.cluster import Manifest

Schema = dict[str, Any]


class Schemas:
    """The schemas of all kinds, without additional properties."""

    def __init__(self, directory: Path) -> None:
        self._by_kind: dict[tuple[str, str], Schema] = {}
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
        for file in (directory / "crds").glob("monitoring.*.yaml"):
            spec = yaml.safe_load(file.read_text())["spec"]
            for version in spec["versions"]:
                schema = _closed(version["schema"]["openAPIV3Schema"])
                self._by_kind[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema

    def problems(self, manifest: Manifest) -> list[str]:
        """Return the problems of a manifest, each with its path; may be empty."""
        validator = Draft202012Validator(self._by_kind[manifest["apiVersion"], manifest["kind"]])
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


def _closed(schema: Schema) -> Schema:
    """Return a schema that refuses unknown keys, and accepts numbers where Kubernetes does."""
    return cast("Schema", _close(schema))


def _close(node: object) -> object:
    if isinstance(node, list):
        return [_close(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {key: _close(value) for key, value in node.items()}
    # The value of "type" is a mapping where a property has that name.
    if closed.get("format") == "int-or-string":
        closed["type"] = ["integer", "string"]
    if closed.get("type") == "object" and isinstance(closed.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed
