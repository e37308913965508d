"""Any bytes become a spec or one readable line."""

import json

import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from support.examples import examples
from watcher.config.schema import MAX_METADATA_BYTES, parse_spec
from watcher.errors import ConfigError
from watcher.spec import MAX_CONFIG_BYTES, Spec

VALID = [
    b"""\
directory: {path: /data/in, recursive: true, mode: poll, poll_interval: 1m30s, settle: 500ms}
id: orders
include: ["*.csv", '2026/**/[!a-c]?.json']
exclude:
  - "**/tmp/**"
events: [created, moved]
metadata:
  team: data
  text: |
    two
    lines
batch: {max_events: 10, max_wait: 2s}
""",
    b"""\
{
\t"s3": {"bucket": "landing", "prefix": "in\\u00e9/", "endpoint_url": "http://10.0.0.1:9000",
\t\t"list_workers": 4, "poll_interval": "30s"},
\t"existing": "report", "format": "s3", "metadata": {"a": [1, 2.5, null, {"b": "\\ud83d\\ude00"}]}
}
""",
]
KEYS = [
    *("directory", "s3", "path", "mode", "poll_interval", "settle", "quiet", "bucket", "prefix"),
    *("endpoint_url", "list_workers", "id", "include", "exclude", "events", "existing", "format"),
    *("metadata", "batch", "max_events", "max_wait", "match_case"),
    *("pol_interval", "setle", "directory.settle", "<<", ""),
]
VALUES = [
    *("/data", "s3://abc/x", "abc", "*.csv", "[", "10s", "1h", "created", "moved", "skip", "s3"),
    *("poll", "auto", "http://h:1/", "arn:aws:s3:", r"re:^a.*\.csv$", "re:(", "re:", "re:(?=a)"),
]
TOKENS = [
    *(b"[", b"]", b"{", b"}", b": ", b"- ", b"? ", b", ", b"\n", b"\t", b"  ", b'"', b"'", b"#"),
    *(b"|\n", b">-\n", b"&a ", b"*a", b"!!x ", b"%YAML 1.1\n", b"---\n", b"...\n", b"<<", b"~"),
    *(b".nan", b"0x", b"9" * 30, b"1e999", b"\\u", b"\\UFFFFFFFF", b"\\ud800"),
    *(b"\x00", b"\x85", b"\xff", b"\xef\xbb\xbf"),
]

plain = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
scalars = plain | st.floats() | st.sampled_from(VALUES) | st.dates()
keys = st.sampled_from(KEYS) | scalars
structures = st.dictionaries(
    keys,
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    ),
    max_size=8,
)
texts = st.text(max_size=30)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | texts
    # JSON has no other numbers.
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a valid configuration with some slices cut out, doubled or replaced."""
    config = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(config)))
        end = min(len(config), start + draw(st.integers(0, 12)))
        pieces = st.sampled_from([b"", config[start:end] * 2, *TOKENS]) | st.binary(max_size=4)
        config = config[:start] + draw(pieces) + config[end:]
    return config


def check(config: bytes) -> None:
    """Assert that a configuration becomes a spec, or an error that fits into a gRPC status."""
    try:
        spec = parse_spec(config)
    except ConfigError as error:
        line = str(error)
        assert line.startswith("configuration is not valid: ")
        assert line.isprintable()
        assert len(line) < 8192
    else:
        assert isinstance(spec, Spec)
        json.dumps(spec.metadata, allow_nan=False).encode()
        spec.where.place.encode("ascii")


tokens = st.lists(st.sampled_from(TOKENS) | st.sampled_from(KEYS).map(str.encode), max_size=60)


@settings(max_examples=examples(300))
@given(
    st.binary(max_size=400)
    | st.text(max_size=400).map(str.encode)
    | tokens.map(b"".join)
    | mutated()
)
def test_any_bytes_are_answered(config: bytes) -> None:
    """Bytes, tokens of YAML in any order, and configurations that are damaged."""
    check(config)


@given(structure=structures, flow=st.booleans())
def test_any_structure_is_answered(*, structure: object, flow: bool) -> None:
    check(yaml.safe_dump(structure, default_flow_style=flow, allow_unicode=True).encode())


@settings(max_examples=examples(40))
@given(
    st.sampled_from(TOKENS),
    st.sampled_from(TOKENS),
    st.sampled_from([b"", b"a: ", b"[", b"metadata: {a: ", b'"', b"a: |\n "]),
)
def test_the_largest_configurations_are_answered(one: bytes, other: bytes, start: bytes) -> None:
    """The same two tokens all the way end in an answer, not in a recursion or a hang."""
    check((start + (one + other) * MAX_CONFIG_BYTES)[:MAX_CONFIG_BYTES])


@given(st.dictionaries(texts, json_values, max_size=5), st.sampled_from([None, 1, "\t"]))
def test_json_metadata_comes_through(metadata: dict[str, object], indent: int | str | None) -> None:
    """Metadata are in the spec as they were in JSON, with any indentation."""
    size = len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode())
    assume(size <= MAX_METADATA_BYTES)
    config = json.dumps({"directory": "/data", "metadata": metadata}, indent=indent).encode()
    assert json.dumps(parse_spec(config).metadata) == json.dumps(metadata)
