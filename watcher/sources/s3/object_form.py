"""Reads objects that are written alike, as the objects of a listing nearly always are. Pure.

The tags of the first object make an expression, which takes all of them apart at once at a quarter
of the cost of a parser. It accepts nothing but objects with these tags in this order, whose texts
are plain; in those, XML has no other meaning. All others are left to the parser (``objects``).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

TAGS_MAX = 40
"""Maximum number of tags, start and end, of an object that is read here: compiling takes longer."""

_TEXT = r"[ -%'-;=?-~]*"
"""Printable ASCII without markup."""
_QUOTE = r"(?:&quot;|&#34;|\")*"
_FIELDS = {
    "Key": f"({_TEXT})",
    "LastModified": f"({_TEXT})",
    "Size": "([0-9]{1,18})",
    "ETag": rf"{_QUOTE}([ !#-%'-;=?-~]*){_QUOTE}",
    "StorageClass": f"({_TEXT})",
}
"""What the texts of a field are, those of ``Columns`` in its order; a group without the quotes."""
_NEEDED = {"Key", "LastModified", "Size"}
_TAGS = re.compile(r"</?[A-Za-z]+>")
_END = "</Contents>"


class Columns(NamedTuple):
    """The fields of objects, each as its texts in the order of the objects."""

    keys: Sequence[str]
    timestamps: Sequence[str]
    sizes: Sequence[str]
    etags: Sequence[str]
    storage_classes: Sequence[str]


class _Form(NamedTuple):
    """How objects are written.

    Attributes:
        expression: Matches one of them, with a group for each field.
        fields: Names of the fields in their order.
    """

    expression: re.Pattern[str]
    fields: Sequence[str]


def read_columns(objects: Sequence[bytes]) -> Columns | None:
    """Return the fields of objects; None where they are not written alike, or not plainly.

    Args:
        objects: Each a ``Contents`` element without its end tag; at least one.
    """
    try:
        first = objects[0].decode("ascii")
        document = b"".join([each + b"</Contents>" for each in objects]).decode("ascii")
    except UnicodeDecodeError:
        return None
    tags = _TAGS.findall(first)
    form = _find_form(tuple(tags)) if len(tags) <= TAGS_MAX else None
    if form is None:
        return None
    # The fields of each object, and before each and behind the last what does not match.
    parts, step = form.expression.split(document), len(form.fields) + 1
    if len(parts) != len(objects) * step + 1 or any(parts[::step]):
        return None
    found = {name: parts[index::step] for index, name in enumerate(form.fields, start=1)}
    missing = [""] * len(objects)
    return Columns(*(found.get(name, missing) for name in _FIELDS))


@lru_cache(maxsize=64)
def _find_form(tags: Sequence[str]) -> _Form | None:
    """Return the form of objects with some tags; None for those that are not read here."""
    expression, fields, opened = "", list[str](), list[str]()
    for tag, behind in zip(tags, (*tags[1:], _END), strict=True):
        name = tag.strip("</>")
        if tag.startswith("</"):
            if not opened or opened.pop() != name:
                return None
            expression += tag
            continue
        opened.append(name)
        # Those of an owner are no fields of the object, which is the outermost element.
        is_field = name in _FIELDS and len(opened) == len(("Contents", name))
        if is_field:
            fields.append(name)
        is_empty = not is_field and not behind.startswith("</")
        expression += tag + ("" if is_empty else _FIELDS[name] if is_field else _TEXT)
    is_whole = tags[:1] == ("<Contents>",) and opened == ["Contents"]
    if not is_whole or len(set(fields)) != len(fields) or not _NEEDED.issubset(fields):
        return None
    return _Form(re.compile(expression + _END), fields)
