"""Decides what a configuration may be made of: turns bytes into YAML nodes within strict limits. Knows no key; an importer of yaml.

JSON is read as the YAML that it is. Scalars are those of the YAML 1.2 core schema: ``on``, ``yes``, ``12:30``, ``1_000`` and
``2026-01-31`` are strings, just as they were written.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from watcher.errors import ConfigError

if TYPE_CHECKING:
    from watcher.spec import Json

MAX_BYTES = 64 * 1024
MAX_DEPTH = 16
MAX_NODES = 4000

EXAMPLE = 'such as "directory: /data/in"'
NOT_VALID = "configuration is not valid"
_QUOTE_GLOBS = ', put a pattern that begins with "*" in quotes'
_MAX_DIGITS = 100

_CORE_SCHEMA = {
    "null": re.compile(r"(?:~|null|Null|NULL)?"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"),
    "infinite": re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"),
}


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
        return next(
            (name for name, pattern in _CORE_SCHEMA.items() if plain and pattern.fullmatch(value)),
            "str",
        )

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


def compose(data: bytes) -> yaml.MappingNode:
    """Return the root node of the only document.

    Raises:
        ConfigError: It is larger than ``MAX_BYTES``, is not UTF-8, YAML or a mapping, or holds what a configuration may not.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{NOT_VALID}: it has {len(data)} bytes, more than {MAX_BYTES}")
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
        _refuse(
            mark.line if mark else 0,
            f"this is not valid YAML or JSON ({error.problem or error.context}){_remedy(error)}",
        )
    except (ValueError, OverflowError):
        # PyYAML lets numbers that are out of range pass to chr() and int().
        _refuse(
            loader.line if loader else 0, "this is not valid YAML or JSON (a number is too large)"
        )
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{NOT_VALID}: it must be a mapping that says what to watch, {EXAMPLE}")
    return root


def _remedy(error: yaml.MarkedYAMLError) -> str:
    """Return what to do about the two mistakes that are made most."""
    if error.context == "while scanning an alias":
        return _QUOTE_GLOBS
    return ", indent with spaces, not tabs" if "'\\t'" in str(error.problem) else ""


def _refuse(line: int, text: str) -> NoReturn:
    raise ConfigError(f"{NOT_VALID}: line {line + 1}: {text}") from None


def plain(node: yaml.Node) -> Json:
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
    """Return what a problem says about the value that has it: a scalar is shown as it was written, but never the user of a URL."""
    if not isinstance(node, yaml.ScalarNode):
        return f" (got a {'list' if isinstance(node, yaml.SequenceNode) else 'mapping'})"
    before, at, after = node.value.rpartition("@")
    scheme, slashes, _ = before.partition("//")
    text = cut(f"{scheme}//...@{after}" if at and slashes else node.value, 60)
    return f' (got "{text}")' if node.tag == "str" else f" (got {text or 'nothing'})"


def cut(text: str, length: int) -> str:
    """Return at most ``length`` characters of a text, the last three of them dots where it was longer."""
    return text if len(text) <= length else text[: length - 3] + "..."
