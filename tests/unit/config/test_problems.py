"""What is said about a configuration that is not valid."""

from __future__ import annotations

import pytest

from watcher.config.schema import MAX_BYTES, MAX_DEPTH, MAX_NODES, MAX_PROBLEMS, parse_spec
from watcher.errors import ConfigError
from watcher.spec import DirectorySpec

DIRECTORY = DirectorySpec("/data/in")
NOTHING_TO_WATCH = 'line 1: it must say what to watch, such as "directory: /data/in"'
NO_BUCKET = "must name a bucket (3 to 63 letters, digits, dots and hyphens, no slash) or be the ARN of an access point"
NO_URL = 'must be http:// or https:// and a host, without user, query and fragment, such as "http://minio:9000"'
NO_DURATION = 'must be a duration with its unit, such as "500ms", "30s" or "1h30m"'
ARN = "arn:aws:s3:eu-west-1:123456789012:accesspoint/landing"


def problems(config: str | bytes) -> str:
    """Return what is said about a configuration that is not valid, without the words that are always there."""
    with pytest.raises(ConfigError) as caught:
        parse_spec(config.encode() if isinstance(config, str) else config)
    line = str(caught.value)
    assert line.isprintable()
    return line.removeprefix("configuration is not valid: ")


def test_all_problems_come_back_on_one_line_in_order() -> None:
    """A line, a dotted key and a text for each problem, with the key that was probably meant."""
    config = """\
# orders
directory:
  pol_interval: 3s
  path: /data/in
  settle: 2m
settle: 3s
existing: all
include:
  - "*.csv"
  - "*.json"
  - 17
"""
    assert problems(config) == (
        'line 3, directory.pol_interval: unknown key, did you mean "poll_interval"?; '
        'line 5, directory.settle: must be from 0s to 1m (got "2m"); '
        "line 6, settle: unknown key, it belongs under directory; "
        'line 7, existing: must be one of skip, report (got "all"); '
        "line 11, include[2]: must be a string, put it in quotes (got 17)"
    )


def test_lines_are_right_in_json_and_flow_style() -> None:
    """Keys and values have the lines that an editor shows, whatever the style."""
    config = '{\n  "s3": {\n    "bucket":\n      "a/b", "zone": 1\n  },\r\n  "events": ["created",\r\n    "gone"]}'
    assert problems(config) == (
        f'line 4, s3.bucket: {NO_BUCKET} (got "a/b"); '
        "line 4, s3.zone: unknown key; "
        'line 7, events[1]: must be one of created, modified, deleted, moved (got "gone")'
    )


WHERE = [
    ("{}", NOTHING_TO_WATCH),
    (
        "directory: /a\ns3: s3://abc",
        "line 2, s3: one event source watches either a directory or s3, not both",
    ),
    ("directory:", "line 1, directory: must be a string (got nothing)"),
    ("directory: [/a]", "line 1, directory: must be a mapping (got a list)"),
    ("directory: data/in", 'line 1, directory: must be absolute (got "data/in")'),
    (
        "directory: /data/../in",
        'line 1, directory: must not go up by "..", since links make that ambiguous (got "/data/../in")',
    ),
    (
        'directory: "/a\\0b"',
        'line 1, directory: must have at most 4095 bytes, and no NUL (got "/a\\x00b")',
    ),
    (
        "directory: s3://abc",
        'line 1, directory: is a bucket, write "s3:" in place of "directory:" (got "s3://abc")',
    ),
    (
        "directory: {recursive: no}",
        'line 1, directory.recursive: must be true or false (got "no"); line 1, directory: the key "path" is missing',
    ),
    ("directory: {path: {a: b}}", "line 1, directory.path: must be a single value (got a mapping)"),
    (
        "directory: {path: /a, mode: fast}",
        'line 1, directory.mode: must be one of auto, notify, poll (got "fast")',
    ),
    ("directory: {path: /a, settle: 5}", f"line 1, directory.settle: {NO_DURATION} (got 5)"),
    (
        "directory: {path: /a, poll_interval: 99ms}",
        'line 1, directory.poll_interval: must be from 100ms to 24h (got "99ms")',
    ),
    (
        "directory: {path: /a, id: x}",
        "line 1, directory.id: unknown key, it belongs at the top level",
    ),
    (
        "directory: {path: /a, mode: poll, rescan_interval: 1m}",
        "line 1, directory.rescan_interval: has no effect with mode: poll, set poll_interval",
    ),
    ("s3: /data", 'line 1, s3: is a directory, write "directory:" in place of "s3:" (got "/data")'),
    ("s3: landing/in", 'line 1, s3: must be like "s3://bucket/prefix" (got "landing/in")'),
    ("s3: s3:///in", f'line 1, s3: {NO_BUCKET} (got "s3:///in")'),
    ("s3: {prefix: a}", 'line 1, s3: the key "bucket" is missing'),
    ("s3: {bucket: 123456}", "line 1, s3.bucket: must be a string, put it in quotes (got 123456)"),
    (
        f"s3: {{bucket: abc, prefix: {'é' * 513}}}",
        f'line 1, s3.prefix: must have at most 1024 bytes (got "{"é" * 57}...")',
    ),
    (
        "s3: {bucket: abc, poll_interval: 500ms}",
        'line 1, s3.poll_interval: must be from 1s to 24h (got "500ms")',
    ),
    (
        "s3: {bucket: abc, request_budget: 5000}",
        "line 1, s3.request_budget: has no effect without poll_interval: auto",
    ),
    (
        "s3: {bucket: abc, poll_interval: 5m, request_budget: 5000}",
        "line 1, s3.request_budget: has no effect without poll_interval: auto",
    ),
    (
        "s3: {bucket: abc, poll_interval: auto, request_budget: 10}",
        "line 1, s3.request_budget: must be a whole number from 1000 to 1000000000 (got 10)",
    ),
    (
        "directory: {path: /a, poll_interval: auto}",
        'line 1, directory.poll_interval: must be a duration with its unit, such as "500ms", "30s" or "1h30m" (got "auto")',
    ),
    (
        "s3: {bucket: abc, list_workers: 65}",
        "line 1, s3.list_workers: must be a whole number from 1 to 64 (got 65)",
    ),
    (
        "s3: {bucket: abc, list_workers: true}",
        "line 1, s3.list_workers: must be a whole number from 1 to 64 (got true)",
    ),
    (
        "s3: {bucket: abc, list_workers: all}",
        'line 1, s3.list_workers: must be auto or a whole number from 1 to 64 (got "all")',
    ),
    (
        "s3: {bucket: abc, region: -}",
        'line 1, s3.region: must be a region such as "eu-west-1" (got "-")',
    ),
    (
        "s3: {bucket: abc, role_arn: reader}",
        'line 1, s3.role_arn: must be the ARN of a role, such as "arn:aws:iam::123456789012:role/reader" (got "reader")',
    ),
    ("s3: {bucket: abc, endpoint_url: minio}", f'line 1, s3.endpoint_url: {NO_URL} (got "minio")'),
    (
        "s3: {bucket: abc, endpoint_url: 'http://minio:65536'}",
        f'line 1, s3.endpoint_url: {NO_URL} (got "http://minio:65536")',
    ),
    (
        "s3: {bucket: abc, endpoint_url: 'http://\u017ftore'}",
        f'line 1, s3.endpoint_url: {NO_URL} (got "http://\u017ftore")',
    ),
    (
        "s3: {bucket: abc, endpoint_url: 'http://min\u0130o'}",
        f'line 1, s3.endpoint_url: {NO_URL} (got "http://min\u0130o")',
    ),
    (
        "s3: {bucket: abc, endpoint_url: 'http://minio/?a'}",
        f'line 1, s3.endpoint_url: {NO_URL} (got "http://minio/?a")',
    ),
    (
        "s3: {bucket: abc, endpoint_url: 'http://me:secret@minio'}",
        f'line 1, s3.endpoint_url: {NO_URL} (got "http://...@minio")',
    ),
    (
        "s3: {bucket: abc, endpoint_url: 'http://10.0.0.1:9000', addressing_style: virtual}",
        "line 1, s3.addressing_style: virtual needs an endpoint_url with a host name, not an IP address",
    ),
    (
        "s3: {bucket: abc, endpoint_url: 'http://[::1]', addressing_style: virtual}",
        "line 1, s3.addressing_style: virtual needs an endpoint_url with a host name, not an IP address",
    ),
]

COMMON = [
    ("id: ''", 'must be 1 to 200 printable characters (got "")'),
    ('id: "a\\nb"', 'must be 1 to 200 printable characters (got "a\\nb")'),
    ("id: 2026", "must be a string, put it in quotes (got 2026)"),
    ("include: '*.csv'", 'must be a list (got "*.csv")'),
    (f"include: [{'a, ' * 1001}]", "must have at most 1000 items (got a list)"),
    (
        "exclude: [" + "'*cache*', " * 51 + "]",
        (
            "has 510 characters in globs with text between two * of a name, or with ** before more than the last name, they may have 500"
        ),
    ),
    (f"exclude: [{'a' * 1001}]", f'must have at most 1000 characters (got "{"a" * 57}...")'),
    ("exclude: ['[a']", 'a "[" is not closed before the next "/" in the pattern "[a" (got "[a")'),
    ("events: []", "must name at least one type"),
    ("events: [created, created]", "names a type twice"),
    ("existing: yes", 'must be one of skip, report (got "yes")'),
    ("format: s3", "s3 is for buckets, a directory has flat or cloudevents"),
    ("metadata: [a]", "must be a mapping (got a list)"),
    ("metadata: {a: .nan}", "must be a finite number (got .nan)"),
    ("metadata: {a: [-.inf]}", "must be a finite number (got -.inf)"),
    ("metadata: {a: 1e999}", "must be a finite number (got 1e999)"),
    ("metadata: {a: 9223372036854775808}", "must fit into 64 bits (got 9223372036854775808)"),
    ("metadata: {a: {b: 1, b: 2}}", "this key is there already, in line 2"),
    ("metadata: {1: a}", "a key must be a string, put it in quotes"),
    ("metadata: {[a]: a}", "a key must be a string, put it in quotes"),
    ("metadata: {<<: {a: b}}", "merge keys are not allowed"),
    ("batch: 10", "must be a mapping (got 10)"),
    ("batch: {max_events: 1001}", "must be a whole number from 1 to 1000 (got 1001)"),
    ("batch: {max_events: 2, max_wait: 6m}", 'must be from 0s to 5m (got "6m")'),
    ("batch: {max_wait: 1s}", "has no effect unless max_events is above 1"),
    ("confirm: yes", 'must be one of time, ack (got "yes")'),
    ("ack_timeout: 5s", "has no effect without confirm: ack"),
    ("confirm: time\nack_timeout: 5s", "has no effect without confirm: ack"),
    ("confirm: ack\nack_timeout: 500ms", 'must be from 1s to 24h (got "500ms")'),
    ("batchs: {}", 'unknown key, did you mean "batch"?'),
    ("id: a\nid: b", "this key is there already, in line 2"),
]


@pytest.mark.parametrize(("config", "expected"), WHERE)
def test_a_place_that_is_not_valid(config: str, expected: str) -> None:
    """Each rule about directories and buckets has a text of its own, which never shows the user of a URL."""
    assert problems(config) == expected


@pytest.mark.parametrize(("config", "expected"), COMMON)
def test_an_option_that_is_not_valid(config: str, expected: str) -> None:
    """Each rule about the common options has a text of its own."""
    told = problems(f"directory: /data/in\n{config}")
    assert told.startswith("line ")
    assert told.endswith(f": {expected}")


def test_a_bucket_has_no_moved_events() -> None:
    """Asking a bucket for nothing but moves would wait for ever."""
    assert (
        problems("s3: s3://landing\nevents: [moved]")
        == "line 2, events: a bucket has no moved events"
    )


@pytest.mark.parametrize(
    "config", ["", "# nothing", "/data/in", "- directory: /data/in", "~", "---\n"]
)
def test_what_is_no_mapping_gets_an_example(config: str) -> None:
    """Someone who sends nothing, a path or a list is shown the smallest configuration."""
    assert (
        problems(config)
        == 'it must be a mapping that says what to watch, such as "directory: /data/in"'
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (b"id: a\nx: \xff", "line 2: this is not UTF-8"),
        (b"id: a\nx: \x07", "line 2: the character '\\x07' is not allowed"),
        (
            b"a: [",
            "line 1: this is not valid YAML or JSON (expected the node content, but found '<stream end>')",
        ),
        (
            b"a:\n\t- b",
            "line 2: this is not valid YAML or JSON (found character '\\t' that cannot start any token), indent with spaces, not tabs",
        ),
        (b"a: b\n---\na: c", "line 2: this is not valid YAML or JSON (but found another document)"),
        (
            b"a: &x b",
            'line 1: anchors and aliases are not allowed, put a pattern that begins with "*" in quotes',
        ),
        (
            b"include: [*x]",
            'line 1: anchors and aliases are not allowed, put a pattern that begins with "*" in quotes',
        ),
        (
            b"include:\n- *.csv",
            (
                "line 2: this is not valid YAML or JSON (expected alphabetic or numeric character, but found '.'), "
                'put a pattern that begins with "*" in quotes'
            ),
        ),
        (b"a: !!str b", "line 1: tags are not allowed"),
        (b"a: !x b", "line 1: tags are not allowed"),
        (b"a: ! b", "line 1: tags are not allowed"),
        (b'a: "\\UFFFFFFFF"', "line 1: this is not valid YAML or JSON (a number is too large)"),
        (
            b"%YAML 1." + b"9" * 5000 + b"\n--- {}",
            "line 1: this is not valid YAML or JSON (a number is too large)",
        ),
        (b'{"id":\n"\\ud83d"}', "line 2: half of a surrogate pair is not a character"),
    ],
)
def test_what_is_not_plain_data_is_refused(config: bytes, expected: str) -> None:
    """Broken bytes, broken syntax and the parts of YAML that no configuration needs end the reading at once."""
    assert problems(config) == expected


def test_the_limits_admit_what_is_just_within_them() -> None:
    """A configuration may be as large, as deep and as full as the limits say, and no more."""
    directory = b"directory: /data/in\n"
    parse_spec(directory.ljust(MAX_BYTES, b"#"))
    assert (
        problems(directory.ljust(MAX_BYTES + 1, b"#"))
        == f"it has {MAX_BYTES + 1} bytes, more than {MAX_BYTES}"
    )
    deep = MAX_DEPTH - 2
    parse_spec(directory + b"metadata: {a: " + b"[" * (deep - 1) + b"]" * (deep - 1) + b"}")
    assert problems(directory + b"metadata: {a: " + b"[" * deep + b"[]" + b"]" * deep + b"}") == (
        f"line 2: values are nested more than {MAX_DEPTH} deep"
    )
    full = MAX_NODES - 7
    parse_spec(directory + b"metadata: {a: [" + b"1," * full + b"]}")
    assert (
        problems(directory + b"metadata: {a: [" + b"1," * (full + 1) + b"]}")
        == f"line 2: there are more than {MAX_NODES} values"
    )


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "config",
    [
        b"[" * MAX_BYTES,
        b'{"a":' * 9000,
        b"- " * 30_000,
        b"? " * 30_000,
        b"[\n" * 30_000,
        b"a: >\n " + b"{a: " * 16_000,
    ],
)
def test_nothing_nests_without_end(config: bytes) -> None:
    """Depth is counted before anything recurses, so that 64 KiB of brackets are an ordinary mistake."""
    assert "line " in problems(config)


def test_many_problems_are_cut() -> None:
    """The line stays short enough for a gRPC status, however much is wrong."""
    told = problems(
        "directory: /data/in\n" + "".join(f"{'x' * 300}{number}: 1\n" for number in range(150))
    )
    assert told.count("unknown key") == MAX_PROBLEMS
    assert told.endswith("; and more")
    assert len(told) < 4096


@pytest.mark.parametrize("char", ["é", "語", "😀", "\\a"])
def test_problems_that_do_not_fit_are_left_out(char: str) -> None:
    """Where the problems are too long for a status the first ones are told whole, and that there are more."""
    told = problems(
        "directory: /data/in\n" + "".join(f'"{char * 50}{number}": 1\n' for number in range(10, 30))
    )
    assert told.startswith("line 2, ")
    assert told.endswith("unknown key; and more")
    assert 2 < told.count("unknown key") < MAX_PROBLEMS


def test_one_problem_that_does_not_fit_is_told_by_its_beginning() -> None:
    """A single problem that is too long is still told, as far as it goes."""
    told = problems(f"directory: /data/in\nexclude: ['[{'😀' * 900}']")
    assert told.startswith(
        'line 2, exclude[0]: a "[" is not closed before the next "/" in the pattern "[😀'
    )
    assert told.endswith("😀...")


def test_an_endless_number_is_refused_and_not_computed() -> None:
    """Thousands of digits are a problem like others, not an error of the interpreter."""
    assert (
        problems(f"directory: /a\nmetadata: {{a: {'9' * 5000}}}")
        == f"line 2, metadata.a: must fit into 64 bits (got {'9' * 57}...)"
    )
