"""``deploy/`` and ``examples/`` are valid by the published schemas."""

from pathlib import Path

import pytest

from system.cluster.cluster import (
    EVERYTHING,
    EXAMPLES,
    FLAVOURS,
    OVERLAYS,
    Programs,
    documents,
    name_of,
    one,
)
from system.cluster.schemas import Schemas


@pytest.fixture(scope="session")
def schemas(program_directory: Path) -> Schemas:
    return Schemas(program_directory)


@pytest.mark.parametrize(
    "files", [*FLAVOURS.values(), (EVERYTHING,)], ids=[*FLAVOURS, "everything"]
)
def test_chart_renders_what_is_known(
    programs: Programs, schemas: Schemas, files: tuple[Path, ...]
) -> None:
    problems = {
        manifest["kind"]: schemas.problems(manifest) for manifest in programs.render(*files)
    }
    assert not any(problems.values()), problems


@pytest.mark.parametrize("overlay", FLAVOURS)
def test_overlays_build_what_is_known(programs: Programs, schemas: Schemas, overlay: str) -> None:
    problems = {
        manifest["kind"]: schemas.problems(manifest)
        for manifest in programs.build(OVERLAYS / overlay)
    }
    assert not any(problems.values()), problems


@pytest.mark.parametrize("example", EXAMPLES, ids=map(name_of, EXAMPLES))
def test_examples_are_known_to_argo_events(schemas: Schemas, example: Path) -> None:
    """The API server would accept any EventSource, so the schema judges."""
    for manifest in documents(example.read_text()):
        assert schemas.problems(manifest) == []


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (
            ("spec", "podManagement"),
            "Parallel",
            "$.spec: Additional properties are not allowed ('podManagement' was unexpected)",
        ),
        (("spec", "replicas"), "one", "$.spec.replicas: 'one' is not of type 'integer'"),
        (
            ("spec", "template", "spec", "volumes"),
            {},
            "$.spec.template.spec.volumes: {} is not of type 'array'",
        ),
    ],
)
def test_mistakes_are_found(
    programs: Programs, schemas: Schemas, path: tuple[str, ...], value: object, problem: str
) -> None:
    workload = one(programs.build(OVERLAYS / "volume"), "StatefulSet")
    parent = workload
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    assert schemas.problems(workload) == [problem]
