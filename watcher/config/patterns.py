"""Defines the keys ``include``, ``exclude`` and ``match_case``: lists of globs and expressions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from watcher.config.fields import Kind, MismatchError, list_of, text
from watcher.config.problems import cut
from watcher.filters.expressions import check_expression, is_expression
from watcher.filters.glob import components_of
from watcher.filters.path_filter import PathFilter
from watcher.spec import Filter

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from watcher.config.fields import Location

MAX_GLOBS, MAX_GLOB_CHARS = 100, 200
"""Maximum number of globs and expressions in a list, and of characters in each."""

_ABSOLUTE = re.compile(r"re:\^\\?/[^|]*", re.DOTALL)
"""An expression that no path of a directory can match."""

_MAX_SHOWN_CHARS = 60
_LISTS = ("include", "exclude")


def patterns() -> Kind:
    """Return the kind of lists of globs and expressions."""
    listed = list_of(Kind(_read_pattern, str), MAX_GLOBS)

    def read(node: yaml.Node, at: Location) -> object:
        return _read_pattern(node, at) if _is_expression_in_two(node) else listed.read(node, at)

    return Kind(read, listed.write)


def check_patterns(values: Mapping[str, Any], given: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with patterns that are right by themselves."""
    match_case = values.get("match_case", True)
    if not match_case and not any(name in given for name in _LISTS):
        yield "match_case", "has no effect without include or exclude"
    for name in _LISTS:
        listed = values.get(name, ())
        if match_case and not any(map(is_expression, listed)):
            continue
        if "directory" in given and (absolute := next(filter(_ABSOLUTE.fullmatch, listed), "")):
            shown = cut(absolute, _MAX_SHOWN_CHARS)
            yield name, f'has "{shown}", but a path is relative to the directory, with no "/" first'
        try:
            PathFilter(Filter(listed, match_case=match_case))
        except ValueError as error:
            yield name, str(error)


def _read_pattern(node: yaml.Node, at: Location) -> object:
    if _is_expression_in_two(node):
        message = 'must be one text without a space after "re:", such as "re:^in/"'
        raise MismatchError(message, shows_value=False)
    return _PATTERN.read(node, at)


def _is_expression_in_two(node: yaml.Node) -> bool:
    """Return whether YAML takes an expression for a key and its value, as in ``re: ^in/``."""
    if not isinstance(node, yaml.MappingNode):
        return False
    return any(isinstance(key, yaml.ScalarNode) and key.value == "re" for key, _ in node.value)


def _pattern(pattern: str) -> str:
    if len(pattern) > MAX_GLOB_CHARS:
        raise MismatchError(f"has {len(pattern)} characters, at most {MAX_GLOB_CHARS} are allowed")
    if is_expression(pattern):
        check_expression(pattern)
    else:
        components_of(pattern)
    return pattern


_PATTERN = text(_pattern)
