"""``deploy/`` and ``examples/`` are valid by the published schemas."""

from pathlib import Path

import pytest

from system.cluster.cluster import (
    EXAMPLES,
    FLAVOURS,
    OVERLAYS,
    VALUED,
    Programs,
    documents,
    name_of,
    one,
)
from system.cluster.schemas import Schemas


@pytest.fixture(scope="session")
def schemas(program_directory: Path) -> Schemas:
    return Schemas(program_directory)


@pytest.mark.parametrize("files", VALUED.values(), ids=VALUED)
def test_chart_renders_what_is_known(
    programs: Programs, schemas: Schemas, files: tuple[Path, ...]
) -> None:
    for manifest in programs.render(*files):
        assert schemas.problems(manifest) == [], manifest["kind"]


@pytest.mark.parametrize("overlay", FLAVOURS)
def test_overlays_build_what_is_known(programs: Programs, schemas: Schemas, overlay: str) -> None:
    for manifest in programs.build(OVERLAYS / overlay):
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
