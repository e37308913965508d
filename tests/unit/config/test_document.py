"""Bytes that are no plain data, or exceed a limit, are refused with the line of the mistake."""

import pytest

from support.problems import problems
from watcher.config.document import MAX_DEPTH, MAX_NODES
from watcher.config.schema import parse_spec
from watcher.spec import MAX_CONFIG_BYTES

INVALID = "this is not valid YAML or JSON"
DOT_FOUND = "expected alphabetic or numeric character, but found '.'"
TAB_FOUND = "found character '\\t' that cannot start any token"
TOO_LARGE = f"line 1: {INVALID} (a number is too large)"
QUOTE_BRACES = 'put a text that begins with "{" in quotes'
QUOTE = 'put a glob that begins with "*" in quotes'


@pytest.mark.parametrize(
    "config", ["", "# nothing", "/data/in", "- directory: /data/in", "~", "---\n"]
)
def test_a_document_that_is_no_mapping_gets_an_example(config: str) -> None:
    assert (
        problems(config)
        == 'it must be a mapping that says what to watch, such as "directory: /data/in"'
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (b"id: a\nx: \xff", "line 2: this is not UTF-8"),
        (b"id: a\nx: \x07", "line 2: the character '\\x07' is not allowed"),
        (b"a: [", f"line 1: {INVALID} (expected the node content, but found '<stream end>')"),
        (b"a:\n\t- b", f"line 2: {INVALID} ({TAB_FOUND}), indent with spaces, not tabs"),
        (b"a: b\n---\na: c", f"line 2: {INVALID} (but found another document)"),
        (b"a: &x b", f"line 1: anchors and aliases are not allowed, {QUOTE}"),
        (b"include: [*x]", f"line 1: anchors and aliases are not allowed, {QUOTE}"),
        (b"include:\n- *.csv", f"line 2: {INVALID} ({DOT_FOUND}), {QUOTE}"),
        (
            b"marker: {name}.done",
            f"line 1: {INVALID} (expected <block end>, but found '<scalar>'), {QUOTE_BRACES}",
        ),
        (b"a: !!str b", "line 1: tags are not allowed"),
        (b"a: !x b", "line 1: tags are not allowed"),
        (b"a: ! b", "line 1: tags are not allowed"),
        (b'a: "\\UFFFFFFFF"', TOO_LARGE),
        (b"%YAML 1." + b"9" * 5000 + b"\n--- {}", TOO_LARGE),
        (b'{"id":\n"\\ud83d"}', "line 2: half of a surrogate pair is not a character"),
    ],
)
def test_data_that_is_not_plain_is_refused(config: bytes, expected: str) -> None:
    """Broken bytes and syntax, and parts of YAML that no configuration needs, end the reading."""
    assert problems(config) == expected


def test_the_limits_admit_what_is_just_within_them() -> None:
    directory = b"directory: /data/in\n"
    parse_spec(directory.ljust(MAX_CONFIG_BYTES, b"#"))
    assert (
        problems(directory.ljust(MAX_CONFIG_BYTES + 1, b"#"))
        == f"it has {MAX_CONFIG_BYTES + 1} bytes, at most {MAX_CONFIG_BYTES} are allowed"
    )
    deep = MAX_DEPTH - 2
    parse_spec(directory + b"metadata: {a: " + b"[" * (deep - 1) + b"]" * (deep - 1) + b"}")
    assert problems(directory + b"metadata: {a: " + b"[" * deep + b"[]" + b"]" * deep + b"}") == (
        f"line 2: values are nested more than {MAX_DEPTH} deep"
    )
    full = MAX_NODES - 7
    config = directory + b"metadata: {a: [" + b"1," * full + b"]}"
    assert "bytes as JSON" in problems(config)
    expected = f"line 2: there are more than {MAX_NODES} values"
    assert problems(config.replace(b"]", b"1]")) == expected


@pytest.mark.timeout(60)
@pytest.mark.parametrize("nesting", [b"[", b'{"a":', b"- ", b"? ", b"[\n", b"{a: "])
def test_nothing_nests_without_end(nesting: bytes) -> None:
    """Depth is counted before anything recurses: a text of brackets is an ordinary mistake."""
    found = problems((nesting * MAX_CONFIG_BYTES)[:MAX_CONFIG_BYTES])
    assert found.endswith(f": values are nested more than {MAX_DEPTH} deep")
