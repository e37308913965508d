"""Decides whether the configuration of an event source is valid, and makes its ``Spec``. The only importer of yaml; reads no files.

Bytes become YAML nodes under strict limits (``_compose``), nodes become values by the tables of keys at the end (``_Reading`` gathers
every problem on the way, with its line), and the values become a spec. JSON is read as the YAML that it is. Scalars are those of the
YAML 1.2 core schema: ``on``, ``yes``, ``12:30``, ``1_000`` and ``2026-01-31`` are strings, just as they were written.
"""

from __future__ import annotations

import ipaddress
import math
import posixpath
import re
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import yaml

from watcher.errors import ConfigError
from watcher.model import ChangeType
from watcher.patterns import check_pattern
from watcher.spec import AddressingStyle, Batch, BucketSpec, DirectorySpec, Existing, Filter, Format, Mode, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from enum import StrEnum

    from watcher.spec import Json

MAX_BYTES = 64 * 1024
MAX_DEPTH = 16
MAX_NODES = 4000
MAX_PROBLEMS = 20

_NOT_VALID = "configuration is not valid"
_EXAMPLE = 'such as "directory: /data/in"'
_IS_DIRECTORY = 'is a directory, write "directory:" in place of "s3:"'
_QUOTE_GLOBS = ', put a pattern that begins with "*" in quotes'
_MAX_DIGITS = 100
_MAX_LABEL = 200
_MAX_PATTERN = 1000
_MAX_PATTERNS = 100
_MAX_PATH_BYTES = 4095
_MAX_PREFIX_BYTES = 1024
_MAX_PORT = 65535

_UNITS_S = {"ns": "1e-9", "us": "1e-6", "µs": "1e-6", "μs": "1e-6", "ms": "1e-3", "s": "1", "m": "60", "h": "3600"}
_DURATION = re.compile(r"(?:[0-9]{1,20}(?:\.[0-9]{0,20})?(?:ns|us|µs|μs|ms|s|m|h)){1,8}")
_DURATION_PART = re.compile(r"([0-9.]+)([a-zµμ]+)")

_ARN = r"arn:[a-z0-9-]+:s3[a-z-]*:[a-z0-9-]*:[0-9]{12}:(?:outpost[:/][A-Za-z0-9-]{1,63}[:/])?accesspoint[:/][A-Za-z0-9.-]{1,63}"
_BUCKET_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{1,61}}[A-Za-z0-9]|{_ARN}")
_S3_URI = re.compile(rf"s3://({_ARN}|[^/]*)(?:/(.*))?", re.DOTALL)
_REGION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_ENDPOINT = re.compile(
    r"(?P<origin>https?://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?)(?P<path>/[!-~]*)?", re.IGNORECASE
)
_ROLE = re.compile(r"arn:[a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]*:[A-Za-z0-9]*:role/[!-~]{1,600}")

_CORE_SCHEMA = {
    "null": re.compile(r"(?:~|null|Null|NULL)?"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"),
    "infinite": re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"),
}


def parse_spec(data: bytes) -> Spec:
    """Return the spec that a configuration asks for.

    Args:
        data: YAML or JSON in UTF-8, with or without a byte order mark.

    Raises:
        ConfigError: It is not valid. One line names all problems (the first ``MAX_PROBLEMS``), each with line (from 1) and key.
    """
    root = _compose(data)
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{_NOT_VALID}: it must be a mapping that says what to watch, {_EXAMPLE}")
    reading = _Reading()
    spec = reading.value(root, "", root.start_mark.line, _SPEC)
    if not isinstance(spec, Spec):
        reading.fail()
    return spec


def parse_duration(text: str) -> float:
    """Return the seconds of a duration as Go writes it: ``500ms``, ``1.5s``, ``1h30m``; units ns, us, µs, ms, s, m, h; never negative.

    Raises:
        ValueError: The text is not a duration.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError('must be a duration with its unit, such as "500ms", "30s" or "1h30m"')
    return float(sum(Decimal(number) * Decimal(_UNITS_S[unit]) for number, unit in _DURATION_PART.findall(text)))


class _Loader(yaml.SafeLoader):
    """A composer of plain data: what could refer, instantiate or nest without end is refused before it is built."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0

    def scan_to_next_token(self) -> None:
        """Skip tabs too inside brackets and braces: YAML allows them there, and much JSON is indented by them."""
        super().scan_to_next_token()
        while self.flow_level and self.peek() == "\t":
            self.forward()
            super().scan_to_next_token()

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        """Return the name of the type of a scalar; quoted ones and block scalars are strings."""
        plain = kind is yaml.ScalarNode and implicit[0]
        return next((name for name, pattern in _CORE_SCHEMA.items() if plain and pattern.fullmatch(value)), "str")

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose the next node within the limits, and join the surrogate pairs by which JSON escapes characters."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line
        self._depth += 1
        self._nodes += 1
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            _refuse(line, f"anchors and aliases are not allowed{_QUOTE_GLOBS}")
        if event.tag is not None:
            _refuse(line, "tags are not allowed")
        if self._depth > MAX_DEPTH:
            _refuse(line, f"values are nested more than {MAX_DEPTH} deep")
        if self._nodes > MAX_NODES:
            _refuse(line, f"there are more than {MAX_NODES} values")
        node = super().compose_node(parent, index)
        if isinstance(node, yaml.ScalarNode):
            try:
                node.value = node.value.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError:
                _refuse(line, "half of a surrogate pair is not a character")
        self._depth -= 1
        return node


def _compose(data: bytes) -> yaml.Node | None:
    """Return the root node of the only document, None for an empty one.

    Raises:
        ConfigError: It is larger than ``MAX_BYTES``, is not UTF-8 or YAML, or holds what a configuration may not.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{_NOT_VALID}: it has {len(data)} bytes, more than {MAX_BYTES}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(data.count(b"\n", 0, error.start), "this is not UTF-8")
    loader = None
    try:
        loader = _Loader(text)
        return loader.get_single_node()
    except yaml.reader.ReaderError as error:
        _refuse(text.count("\n", 0, error.position), f"the character {text[error.position]!a} is not allowed")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        _refuse(mark.line if mark else 0, f"this is not valid YAML or JSON ({error.problem or error.context}){_remedy(error)}")
    except (ValueError, OverflowError):
        # PyYAML lets numbers that are out of range pass to chr() and int().
        _refuse(loader.line if loader else 0, "this is not valid YAML or JSON (a number is too large)")


def _remedy(error: yaml.MarkedYAMLError) -> str:
    """Return what to do about the two mistakes that are made most."""
    if error.context == "while scanning an alias":
        return _QUOTE_GLOBS
    return ", indent with spaces, not tabs" if "'\\t'" in str(error.problem) else ""


def _refuse(line: int, text: str) -> NoReturn:
    raise ConfigError(f"{_NOT_VALID}: line {line + 1}: {text}") from None


class _Reading:
    """One reading of one document.

    Attributes:
        lines: Where each dotted key is, from 0.
        problems: Line, dotted key and text of what is wrong.
    """

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self.problems: list[tuple[int, str, str]] = []

    def problem(self, key: str, text: str) -> None:
        """Note what is wrong with a key that was met; the empty key is the whole document.

        Raises:
            ConfigError: There are ``MAX_PROBLEMS`` already.
        """
        if len(self.problems) == MAX_PROBLEMS:
            self.fail("; and more")
        self.problems.append((self.lines[key], key, text))

    def fail(self, end: str = "") -> NoReturn:
        """Raise the ``ConfigError`` that tells all problems, in the order of their lines."""
        ordered = sorted(self.problems, key=lambda problem: problem[0])
        told = [f"line {line + 1}{', ' if key else ''}{_cut(key, 80)}: {_cut(text, 250)}" for line, key, text in ordered]
        raise ConfigError(f"{_NOT_VALID}: {'; '.join(told)}{end}")

    def value(self, node: yaml.Node, key: str, line: int, read: _Reader) -> Any:  # noqa: ANN401
        """Return what ``read`` makes of the node at ``key`` and ``line``, or None where that has a problem, which is noted."""
        self.lines[key] = line
        before = len(self.problems)
        try:
            value = read(node, key, self)
        except ValueError as error:
            self.problem(key, f"{error}{_got(node)}")
        return value if len(self.problems) == before else None

    def items(self, node: yaml.SequenceNode, key: str, read: _Reader) -> list[Any]:
        """Return the values of a list."""
        return [self.value(item, f"{key}[{number}]", item.start_mark.line, read) for number, item in enumerate(node.value)]

    def entries(self, node: yaml.MappingNode, key: str) -> Iterator[tuple[str, str, yaml.Node, int]]:
        """Yield name, dotted key, value and its line for each entry of a mapping; keys that no mapping may have are noted instead."""
        seen: dict[str, int] = {}
        for name_node, value in node.value:
            line = name_node.start_mark.line
            name = name_node.value if isinstance(name_node, yaml.ScalarNode) else "?"
            dotted = f"{key}.{_cut(name, 60)}" if key else _cut(name, 60) or '""'
            self.lines[dotted] = line
            if not isinstance(name_node, yaml.ScalarNode) or name_node.tag != "str":
                self.problem(dotted, "a key must be a string, put it in quotes")
            elif name == "<<" and name_node.style is None:
                self.problem(dotted, "merge keys are not allowed")
            elif name in seen:
                self.problem(dotted, f"this key is there already, in line {seen[name] + 1}")
            else:
                seen[name] = line
                yield name, dotted, value, value.start_mark.line if isinstance(value, yaml.ScalarNode) else line


class _MismatchError(ValueError):
    """A value is not what its key holds; the text goes on after the key: "must be a list"."""


_Reader: TypeAlias = "Callable[[yaml.Node, str, _Reading], object]"
"""Makes a value of the node at a dotted key; raises ValueError where that is wrong as a whole, and notes what is wrong in its parts."""


def _scalar(make: Callable[[Any], object]) -> _Reader:
    """Return a reader of scalars, given as None, bool, int, float or str."""

    def read(node: yaml.Node, _key: str, _reading: _Reading) -> object:
        if not isinstance(node, yaml.ScalarNode):
            raise _MismatchError("must be a single value")
        return make(_plain(node))

    return read


def _sequence(item: _Reader, max_items: int) -> _Reader:
    """Return a reader of lists, which become tuples."""

    def read(node: yaml.Node, key: str, reading: _Reading) -> object:
        if not isinstance(node, yaml.SequenceNode):
            raise _MismatchError("must be a list")
        if len(node.value) > max_items:
            raise _MismatchError(f"must have at most {max_items} items")
        return tuple(reading.items(node, key, item))

    return read


def _mapping(
    fields: Mapping[str, _Reader],
    make: Callable[..., object],
    check: Callable[[Mapping[str, Any]], Iterator[tuple[str, str]]],
    short: _Reader | None = None,
) -> _Reader:
    """Return a reader of mappings with known keys.

    Args:
        fields: What each key holds.
        make: Makes the value of those of the keys; called where none has a problem.
        check: Yields name and text of what is missing or contradictory; a value that has a problem is None.
        short: Reads a scalar that stands for the mapping.
    """

    def read(node: yaml.Node, key: str, reading: _Reading) -> object:
        if short and isinstance(node, yaml.ScalarNode):
            return short(node, key, reading)
        if not isinstance(node, yaml.MappingNode):
            raise _MismatchError("must be a mapping")
        before = len(reading.problems)
        values = {}
        for name, dotted, value, line in reading.entries(node, key):
            if name in fields:
                values[name] = reading.value(value, dotted, line, fields[name])
            else:
                reading.problem(dotted, f"unknown key{_meant(name, fields)}")
        for name, text in check(values):
            reading.problem(f"{key}.{name}" if key and name else key or name, text)
        if len(reading.problems) > before:
            return None
        return make(**{f"{name}_s" if name in _IN_SECONDS else name: value for name, value in values.items()})

    return read


def _metadata(node: yaml.Node, key: str, reading: _Reading) -> Mapping[str, Json]:
    if not isinstance(node, yaml.MappingNode):
        raise _MismatchError("must be a mapping")
    return {name: reading.value(value, dotted, line, _json) for name, dotted, value, line in reading.entries(node, key)}


def _json(node: yaml.Node, key: str, reading: _Reading) -> Json:
    if isinstance(node, yaml.MappingNode):
        return _metadata(node, key, reading)
    return reading.items(node, key, _json) if isinstance(node, yaml.SequenceNode) else _plain(node)


def _plain(node: yaml.Node) -> Json:
    """Return the value of a scalar.

    Raises:
        ValueError: It is a number that JSON cannot carry everywhere.
    """
    text: str = node.value
    match node.tag:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            number = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10)) if len(text) <= _MAX_DIGITS else math.inf
            if not -(2**63) <= number < 2**63:
                raise _MismatchError("must fit into 64 bits")
            return number
        case "float" if math.isfinite(float(text)):
            return float(text)
        case "float" | "infinite":
            raise _MismatchError("must be a finite number")
    return text


def _got(node: yaml.Node) -> str:
    """Return what a problem says about the value that has it: a scalar is shown as it was written, but never the user of a URL."""
    if not isinstance(node, yaml.ScalarNode):
        return f" (got a {'list' if isinstance(node, yaml.SequenceNode) else 'mapping'})"
    before, at, after = node.value.rpartition("@")
    scheme, slashes, _ = before.partition("//")
    text = _cut(f"{scheme}//...@{after}" if at and slashes else node.value, 60)
    return f' (got "{text}")' if node.tag == "str" else f" (got {text or 'nothing'})"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _meant(name: str, fields: Mapping[str, _Reader]) -> str:
    """Return what to say of the key that was probably meant, if there is one."""
    if close := get_close_matches(name[:60], fields, n=1):
        return f', did you mean "{close[0]}"?'
    homes = [home for home, inner in (("directory", _DIRECTORY), ("s3", _BUCKET), ("batch", _BATCH)) if name in inner]
    if homes:
        return f", it belongs under {' or '.join(homes)}"
    return ", it belongs at the top level" if name in _TOP else ""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _MismatchError("must be a string, put it in quotes" if isinstance(value, int | float) else "must be a string")
    return value


def _label(value: object) -> str:
    label = _text(value)
    if not 1 <= len(label) <= _MAX_LABEL or not label.isprintable():
        raise _MismatchError(f"must be 1 to {_MAX_LABEL} printable characters")
    return label


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise _MismatchError("must be true or false")
    return value


def _one_of(enum: type[StrEnum]) -> _Reader:
    def make(value: object) -> StrEnum:
        if not isinstance(value, str) or value not in list(enum):
            raise _MismatchError(f"must be one of {', '.join(enum)}")
        return enum(value)

    return _scalar(make)


def _integer(value: object, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _MismatchError(f"must be a whole number from {low} to {high}")
    return value


def _workers(value: object) -> int | None:
    if isinstance(value, str) and value != "auto":
        raise _MismatchError("must be auto or a whole number from 1 to 64")
    return None if value == "auto" else _integer(value, 1, 64)


def _duration(low: str, high: str) -> _Reader:
    def make(value: object) -> float:
        duration_s = parse_duration(value if isinstance(value, str) else "")
        if not parse_duration(low) <= duration_s <= parse_duration(high):
            raise _MismatchError(f"must be from {low} to {high}")
        return duration_s

    return _scalar(make)


def _matching(pattern: re.Pattern[str], expected: str) -> _Reader:
    def make(value: object) -> str:
        text = _text(value)
        if not pattern.fullmatch(text):
            raise _MismatchError(f"must be {expected}")
        return text

    return _scalar(make)


def _glob(value: object) -> str:
    pattern = _text(value)
    if len(pattern) > _MAX_PATTERN:
        raise _MismatchError(f"must have at most {_MAX_PATTERN} characters")
    check_pattern(pattern)
    return pattern


def _path(value: object) -> str:
    path = _text(value)
    if path.startswith("s3://"):
        raise _MismatchError('is a bucket, write "s3:" in place of "directory:"')
    if not path.startswith("/"):
        raise _MismatchError("must be absolute")
    if "\0" in path or len(path.encode()) > _MAX_PATH_BYTES:
        raise _MismatchError(f"must have at most {_MAX_PATH_BYTES} bytes, and no NUL")
    if ".." in path.split("/"):
        raise _MismatchError('must not go up by "..", since links make that ambiguous')
    return posixpath.normpath("/" + path.lstrip("/"))


def _bucket(value: object) -> str:
    name = _text(value)
    if name.startswith("/"):
        raise _MismatchError(_IS_DIRECTORY)
    if not _BUCKET_NAME.fullmatch(name):
        raise _MismatchError("must name a bucket (3 to 63 letters, digits, dots and hyphens, no slash) or be the ARN of an access point")
    return name


def _prefix(value: object) -> str:
    prefix = _text(value)
    if len(prefix.encode()) > _MAX_PREFIX_BYTES:
        raise _MismatchError(f"must have at most {_MAX_PREFIX_BYTES} bytes")
    return prefix


def _short_bucket(value: object) -> BucketSpec:
    text = _text(value)
    uri = _S3_URI.fullmatch(text)
    if uri:
        return BucketSpec(_bucket(uri[1]), _prefix(uri[2] or ""))
    raise _MismatchError(_IS_DIRECTORY if text.startswith("/") else 'must be like "s3://bucket/prefix"')


def _endpoint(value: object) -> str:
    url = _ENDPOINT.fullmatch(_text(value))
    if not url or not 1 <= int(url["port"] or 1) <= _MAX_PORT or not {"?", "#", "@"}.isdisjoint(url[0]):
        raise _MismatchError('must be http:// or https:// and a host, without user, query and fragment, such as "http://minio:9000"')
    return url["origin"].lower() + (url["path"] or "").rstrip("/")


def _check_directory(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "path" not in values:
        yield "", 'the key "path" is missing'
    if values.get("mode") is Mode.POLL and "rescan_interval" in values:
        yield "rescan_interval", "has no effect with mode: poll, set poll_interval"


def _check_bucket(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "bucket" not in values:
        yield "", 'the key "bucket" is missing'
    url = _ENDPOINT.fullmatch(values.get("endpoint_url") or "")
    if url and values.get("addressing_style") is AddressingStyle.VIRTUAL and _is_address(url["host"]):
        yield "addressing_style", "virtual needs an endpoint_url with a host name, not an IP address"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _check_batch(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if values.get("max_wait") and values.get("max_events", 1) == 1:
        yield "max_wait", "has no effect unless max_events is above 1"


def _check_spec(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "directory" in values and "s3" in values:
        yield "s3", "one event source watches either a directory or s3, not both"
    elif "directory" not in values and "s3" not in values:
        yield "", f"it must say what to watch, {_EXAMPLE}"
    events = values.get("events")
    if events is not None and not events:
        yield "events", "must name at least one type"
    elif events and len(set(events)) < len(events):
        yield "events", "names a type twice"
    elif events == (ChangeType.MOVED,) and "s3" in values:
        yield "events", "a bucket has no moved events"
    if values.get("format") is Format.S3 and "directory" in values:
        yield "format", "s3 is for buckets, a directory has flat or cloudevents"


def _make_spec(**values: Any) -> Spec:  # noqa: ANN401
    where = values.pop("directory", None) or values.pop("s3")
    patterns = Filter(values.pop("include", ()), values.pop("exclude", ()))
    return Spec(where, filter=patterns, events=frozenset(values.pop("events", ChangeType)), **values)


_IN_SECONDS = frozenset({"poll_interval", "rescan_interval", "settle", "max_wait"})

_DIRECTORY: dict[str, _Reader] = {
    "path": _scalar(_path),
    "recursive": _scalar(_boolean),
    "mode": _one_of(Mode),
    "poll_interval": _duration("100ms", "24h"),
    "rescan_interval": _duration("1s", "24h"),
    "settle": _duration("0s", "1m"),
    "follow_symlinks": _scalar(_boolean),
}
_BUCKET: dict[str, _Reader] = {
    "bucket": _scalar(_bucket),
    "prefix": _scalar(_prefix),
    "region": _matching(_REGION, 'a region such as "eu-west-1"'),
    "endpoint_url": _scalar(_endpoint),
    "addressing_style": _one_of(AddressingStyle),
    "profile": _scalar(_label),
    "role_arn": _matching(_ROLE, 'the ARN of a role, such as "arn:aws:iam::123456789012:role/reader"'),
    "request_payer": _scalar(_boolean),
    "poll_interval": _duration("1s", "24h"),
    "list_workers": _scalar(_workers),
}
_BATCH: dict[str, _Reader] = {
    "max_events": _scalar(lambda value: _integer(value, 1, 1000)),
    "max_wait": _duration("0s", "5m"),
}
_TOP: dict[str, _Reader] = {
    "directory": _mapping(_DIRECTORY, DirectorySpec, _check_directory, short=_scalar(lambda value: DirectorySpec(_path(value)))),
    "s3": _mapping(_BUCKET, BucketSpec, _check_bucket, short=_scalar(_short_bucket)),
    "id": _scalar(_label),
    "include": _sequence(_scalar(_glob), _MAX_PATTERNS),
    "exclude": _sequence(_scalar(_glob), _MAX_PATTERNS),
    "events": _sequence(_one_of(ChangeType), 10),
    "existing": _one_of(Existing),
    "format": _one_of(Format),
    "metadata": _metadata,
    "batch": _mapping(_BATCH, Batch, _check_batch),
}
_SPEC = _mapping(_TOP, _make_spec, _check_spec)
