"""Defines the key ``compare``: which differences make a file modified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from watcher.config.fields import Kind, MismatchError, did_you_mean, set_of
from watcher.spec import Attribute, Compare

if TYPE_CHECKING:
    from watcher.config.fields import Location

_ALONE = {"auto": Compare(), "content": Compare(is_content=True)}
"""Values that stand for a whole comparison, by name."""


def comparison() -> Kind:
    """Return the kind of comparisons: ``auto``, ``content``, or a list of attributes."""
    attributes = set_of(Attribute, Kind(_attribute, str))

    def read(node: yaml.Node, at: Location) -> Compare:
        if isinstance(node, yaml.ScalarNode):
            if node.value in _ALONE:
                return _ALONE[node.value]
            if node.value not in list(Attribute):
                message = f"must be {', '.join(_ALONE)} or a list of {', '.join(Attribute)}"
                raise _unknown(message, node, [*_ALONE, *Attribute])
        found: Any = attributes.read(node, at)
        return Compare(found, is_auto=False)

    return Kind(read, _write)


def _write(value: Compare) -> str:
    alone = next((name for name, each in _ALONE.items() if each == value), None)
    return alone or f"[{', '.join(each for each in Attribute if each in value.attributes)}]"


def _attribute(node: yaml.Node, _at: Location) -> Attribute:
    if isinstance(node, yaml.ScalarNode) and node.value in _ALONE:
        message = f"{node.value} stands alone, as in compare: {node.value}"
        raise MismatchError(message, shows_value=False)
    if not isinstance(node, yaml.ScalarNode) or node.value not in list(Attribute):
        raise _unknown(f"must be one of {', '.join(Attribute)}", node, [*Attribute])
    return Attribute(node.value)


def _unknown(message: str, node: yaml.Node, names: list[str]) -> MismatchError:
    return MismatchError(message, meant=did_you_mean(node.value, names))
