"""Turns bytes into YAML nodes that know their lines, within strict limits.

JSON is read as the YAML that it is. Scalars are those of the YAML 1.2 core schema: ``on``, ``yes``,
``12:30``, ``1_000`` and ``2026-01-31`` are the strings that were written.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from watcher.config.problems import NOT_VALID, cut
from watcher.errors import ConfigError
from watcher.spec import MAX_CONFIG_BYTES

if TYPE_CHECKING:
    from watcher.spec import Json

MAX_DEPTH = 16
"""Maximum depth to which values are nested: reading them recurses."""

MAX_NODES = 2500
"""Maximum number of keys and values: 20 µs each; lists and metadata at their limits have fewer."""

EXAMPLE = 'such as "directory: /data/in"'
_QUOTE_GLOBS = ', put a glob that begins with "*" in quotes'
_QUOTE_BRACES = ', put a text that begins with "{" in quotes'
_QUOTE_BACKSLASHES = ", put a text with backslashes in single quotes"
_QUOTE_EXPRESSIONS = ', put an expression in single quotes, with no space after "re:"'
_EXPRESSION = re.compile(r"(?:^|[\s\[,])re:")
"""An expression of ``include`` or ``exclude`` without quotes."""

_BRACES = re.compile(r":\s*\{(?:name|stem)\}\S")
"""A ``marker`` without quotes, of which YAML takes the beginning for a mapping."""

_TOO_DEEP = f"values are nested more than {MAX_DEPTH} deep"
_MAX_DIGITS = 100
"""Maximum length of an integer: int() is quadratic, and refuses thousands of digits."""

_CORE_SCHEMA = {
    "null": re.compile(r"(?:~|null|Null|NULL)?"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"),
    "infinite": re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"),
}


class _Loader(yaml.SafeLoader):
    """Composes plain data; refuses anchors, tags and endless nesting before they are built."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0

    def scan_to_next_token(self) -> None:
        """Skip tabs too inside brackets and braces, where YAML allows and much JSON has them."""
        super().scan_to_next_token()
        while self.flow_level and self.peek() == "\t":
            self.forward()
            super().scan_to_next_token()

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        """Refuse an opening bracket that is too deep, since the scanner reads many ahead."""
        if self.flow_level >= MAX_DEPTH:
            _refuse(self.line, _TOO_DEEP)
        super().fetch_flow_collection_start(token)

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        """Return the type of a scalar; quoted and block scalars are strings."""
        plain = kind is yaml.ScalarNode and implicit[0]
        return next(
            (name for name, pattern in _CORE_SCHEMA.items() if plain and pattern.fullmatch(value)),
            "str",
        )

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose the next node within the limits, with the surrogate pairs of JSON joined."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line
        self._depth += 1
        self._nodes += 1
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            _refuse(line, f"anchors and aliases are not allowed{_QUOTE_GLOBS}")
        if event.tag is not None:
            _refuse(line, "tags are not allowed")
        if self._depth > MAX_DEPTH:
            _refuse(line, _TOO_DEEP)
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


def compose(data: bytes) -> yaml.MappingNode:
    """Return the root of the only document.

    Args:
        data: YAML or JSON in UTF-8, with or without a byte order mark.

    Raises:
        ConfigError: It is not UTF-8, YAML or a mapping, has an anchor or a tag, or exceeds a limit.
    """
    if len(data) > MAX_CONFIG_BYTES:
        problem = f"it has {len(data)} bytes, at most {MAX_CONFIG_BYTES} are allowed"
        raise ConfigError(f"{NOT_VALID}: {problem}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(data.count(b"\n", 0, error.start), "this is not UTF-8")
    loader = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        _refuse(
            text.count("\n", 0, error.position),
            f"the character {text[error.position]!a} is not allowed",
        )
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line if mark else 0
        remedy = _remedy(error, "".join(text.split("\n")[line : line + 1]))
        _refuse(line, f"this is not valid YAML or JSON ({error.problem or error.context}){remedy}")
    except (ValueError, OverflowError):
        # PyYAML lets numbers that are out of range pass to chr() and int().
        _refuse(
            loader.line if loader else 0, "this is not valid YAML or JSON (a number is too large)"
        )
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{NOT_VALID}: it must be a mapping that says what to watch, {EXAMPLE}")
    return root


def names(root: yaml.MappingNode) -> frozenset[str]:
    """Return the names at the top level."""
    return frozenset(name.value for name, _ in root.value if isinstance(name, yaml.ScalarNode))


def _remedy(error: yaml.MarkedYAMLError, line: str) -> str:
    """Return what to do about the most frequent mistakes."""
    if error.context == "while scanning an alias":
        return _QUOTE_GLOBS
    if error.context == "while scanning a double-quoted scalar":
        return _QUOTE_BACKSLASHES
    if _EXPRESSION.search(line):
        return _QUOTE_EXPRESSIONS
    if _BRACES.search(line):
        return _QUOTE_BRACES
    return ", indent with spaces, not tabs" if "'\\t'" in str(error.problem) else ""


def _refuse(line: int, text: str) -> NoReturn:
    raise ConfigError(f"{NOT_VALID}: line {line + 1}: {text}") from None


def plain(node: yaml.Node) -> Json:
    """Return the value of a scalar.

    Raises:
        ValueError: It is a number that not every reader of JSON takes.
    """
    text: str = node.value
    match node.tag:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            number = (
                int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
                if len(text) <= _MAX_DIGITS
                else math.inf
            )
            if not -(2**63) <= number < 2**63:
                raise ValueError("must fit into 64 bits")
            return number
        case "float" if math.isfinite(float(text)):
            return float(text)
        case "float" | "infinite":
            raise ValueError("must be a finite number")
    return text


def got(node: yaml.Node) -> str:
    """Return a value as problems show it, `` (got "a")``; the user of a URL is left out."""
    if not isinstance(node, yaml.ScalarNode):
        return f" (got a {'list' if isinstance(node, yaml.SequenceNode) else 'mapping'})"
    before, at, after = node.value.rpartition("@")
    scheme, slashes, _ = before.partition("//")
    text = cut(f"{scheme}//...@{after}" if at and slashes else node.value, 60)
    return f' (got "{text}")' if node.tag == "str" else f" (got {text or 'nothing'})"
