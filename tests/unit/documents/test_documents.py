"""The documents are true: links, examples, and tables that agree with the code."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from support.documents import FENCED, HEADING, rows
from support.project import PROJECT
from unit.documents.test_examples import specs_of
from watcher.config.schema import keys, parse_spec
from watcher.filters.temporary import TEMPORARY_GLOBS
from watcher.spec import Spec
from watcher.telemetry.status import State
from watcher.watch.lifecycle import TRANSITIONS

SCHEMA = json.loads((PROJECT / "watcher/payload.schema.json").read_bytes())
PAGES = sorted(
    page
    for page in (*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("examples/*.md"))
    if page.name != "CHANGELOG.md"
)
LINK = re.compile(r"\]\(([^)]+)\)")
VALUES = "# values of the chart\n"
"""First line of a block that is given to Helm."""
CHART = json.loads((PROJECT / "deploy/helm/watcher/values.schema.json").read_bytes())
SMALLEST: dict[str, dict[str, Any]] = {
    "s3.lookback": {"s3": {"bucket": "landing", "prefix": "{%Y-%m-%d}/"}},
    "s3.request_budget": {"s3": {"bucket": "landing", "poll_interval": "auto"}},
    "s3.notifications.stream": {"s3": {"bucket": "landing", "endpoint_url": "http://minio:9000"}},
    "directory": {"directory": {"path": "/data/in"}},
    "s3": {"s3": {"bucket": "landing"}},
    "batch.max_wait": {"directory": "/data/in", "batch": {"max_events": 2}},
    "match_case": {"directory": "/data/in", "include": ["*.csv"]},
    "ack_timeout": {"directory": "/data/in", "confirm": "ack"},
    "max_unacknowledged": {"directory": "/data/in", "confirm": "ack"},
    "group": {"directory": "/data/in", "group": {}},
}


def fenced(language: str, *, pages: Sequence[Path] = PAGES) -> list[str]:
    """Return what pages fence as one language."""
    return [
        text
        for page in pages
        for kind, text in FENCED.findall(page.read_text(encoding="utf-8"))
        if kind == language
    ]


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as the usual renderers make them."""
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in HEADING.findall(page.read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file of the project, and every anchor a heading."""
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in link:
            target, _, anchor = link.partition("#")
            file = page.parent / target if target else page
            assert file.exists(), link
            assert not anchor or anchor in anchors(file), link


def test_every_page_is_in_the_readme() -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert [page for page in PAGES if page.parent.name == "docs" and page.name not in readme] == []


@pytest.mark.parametrize("text", dict.fromkeys(fenced("yaml")))
def test_yaml_is_valid(text: str) -> None:
    """A configuration, an EventSource or values that are copied from a page work."""
    if text.startswith(VALUES):
        Draft202012Validator(CHART).validate(yaml.safe_load(text))
    elif "apiVersion" in text:
        assert specs_of(yaml.safe_load(text)).keys()
    else:
        assert isinstance(parse_spec(text.encode()), Spec)


def with_key(key: str, value: str | None) -> Spec:
    """Return the spec of the smallest configuration that may have a key.

    Args:
        key: Its path.
        value: In YAML; None leaves the key out.
    """
    place, _, inner = key.partition(".")
    config = dict(SMALLEST.get(key) or SMALLEST.get(place) or SMALLEST["directory"])
    if value is not None:
        read = yaml.safe_load(value)
        for name in reversed(inner.split(".") if inner else ()):
            read = {name: read}
        config[place] = {**config.get(place, {}), **read} if inner else read
    return parse_spec(json.dumps(config).encode())


def test_the_table_of_keys_is_that_of_the_schema() -> None:
    """Path, default, meaning and example of each key are declared in the code, without links."""
    expected = [[cell.replace("`", "") for cell in row[:4]] for row in keys()]
    assert rows("configuration.md", "key | default") == expected


@pytest.mark.parametrize(("key", "default", "example"), [row[:2] + row[3:4] for row in keys()])
def test_the_table_of_keys_is_true(key: str, default: str, example: str) -> None:
    """Every example is accepted and differs from the default, which the key has if left out."""
    changed = with_key(key, example)
    if default:
        plain = with_key(key, None)
        assert with_key(key, default) == plain
        assert changed != plain


def test_the_table_of_temporary_names_is_that_of_the_code() -> None:
    names = [name for row in rows("directories.md", "name") for name in row[0].split(", ")]
    assert names == [*TEMPORARY_GLOBS, ".NAME.XXXXXX"]


def test_the_table_of_the_lifecycle_is_that_of_the_code() -> None:
    names = ("starting", "scanning", "watching", "paused", "unavailable", "stopped")
    states = list(map(State, names))
    assert rows("../ARCHITECTURE.md", "trigger") == [
        [trigger.__name__, *(following.get(state, "") for state in states)]
        for trigger, following in TRANSITIONS.items()
    ]


def test_the_table_of_the_payload_is_complete() -> None:
    """The page explains the keys of the schema, in their order, and its example is a payload."""
    assert [row[0] for row in rows("payload.md", "key | value")] == list(SCHEMA["properties"])
    (example,) = map(json.loads, fenced("json", pages=[PROJECT / "docs/payload.md"]))
    assert list(example) == list(SCHEMA["properties"])
    Draft202012Validator(SCHEMA).validate(example)
