"""Defines the mappings with known keys: how a section is declared, read and checked as a whole."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any

import yaml

from watcher.config.fields import INVALID, MismatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from typing import TypeAlias

    from watcher.config.fields import Kind, Location

    Check: TypeAlias = Callable[[Mapping[str, Any], Collection[str]], Iterable[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section, declared once.

    Attributes:
        name: As configurations write it; with the kind's suffix it is the name of the spec's field.
        kind: What it holds.
        meaning: One sentence in Markdown, for documents and errors.
        example: A value that is not the default.
        is_required: A section without it is not valid.
        default: As a configuration would write it; None takes that of the spec's field.
    """

    name: str
    kind: Kind | Section
    meaning: str
    example: str
    is_required: bool = False
    default: str | None = None

    @property
    def field(self) -> str:
        """The name of the spec's field."""
        return self.name if isinstance(self.kind, Section) else self.name + self.kind.suffix


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping with known keys.

    Attributes:
        specs: The dataclasses whose fields the keys fill.
        keys: All keys.
        make: Makes the value from the fields that are given.
        check: Yields name and text of what is contradictory; it gets the values that are valid, and
            the names of all that are given.
        short: Reads a single value that stands for the mapping; None if none does.
        short_name: What that value is.
    """

    specs: tuple[type, ...]
    keys: tuple[Key, ...]
    make: Callable[..., object]
    check: Check
    short: Kind | None = None
    short_name: str = ""

    def default(self, key: Key) -> str:
        """Return the default of a key as a configuration would write it; empty for none."""
        if key.default is not None or isinstance(key.kind, Section):
            return key.default or ""
        for field in (field for spec in self.specs for field in fields(spec)):
            if field.name == key.field and field.default is not MISSING:
                return key.kind.write(field.default)
            if field.name == key.field and field.default_factory is not MISSING:
                return key.kind.write(field.default_factory())
        return ""

    def read(self, node: yaml.Node, at: Location) -> object:
        """Return what is made of a mapping, or of the value that stands for it.

        Raises:
            ValueError: It is neither.
        """
        if self.short and isinstance(node, yaml.ScalarNode):
            return self.short.read(node, at)
        if not isinstance(node, yaml.MappingNode):
            first = self.keys[0]
            short = f"{self.short_name} or " if self.short else ""
            raise MismatchError(
                f"must be {short}a mapping, as in {{{first.name}: {first.example}}}"
            )
        before = len(at.problems)
        given: dict[str, Location] = {}
        values: dict[str, object] = {}
        known = {key.name: key for key in self.keys}
        for name, inner, value_node in at.entries(node):
            if name not in known:
                inner.problem(f"unknown key{at.suggest(at.key, name)}")
                continue
            given[name] = inner
            if (value := inner.read(known[name].kind.read, value_node)) is not INVALID:
                values[name] = value
        for key in self.keys:
            if key.is_required and key.name not in given:
                meaning = key.meaning[0].lower() + key.meaning[1:].rstrip(".").replace("`", "")
                at.problem(f'"{key.name}" is missing: {meaning}, such as {key.example}')
        for name, message in self.check(values, given):
            given.get(name, at).problem(message)
        if len(at.problems) > before:
            return INVALID
        return self.make(**{known[name].field: value for name, value in values.items()})
