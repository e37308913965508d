"""Arrays of PostgreSQL in their binary form, several times cheaper than psycopg's own of lists.

The form: number of dimensions, whether there are NULLs, type of the elements, then length and lower
bound of the dimension; each element is its size and its bytes (array_send in PostgreSQL's
src/backend/utils/adt/arrayfuncs.c). Numbers are in network order.
"""

from __future__ import annotations

import struct
from itertools import chain
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BOOL, _BYTEA, _INT8, _INT2, _TEXT, _FLOAT8 = 16, 17, 20, 21, 25, 701
"""The types of elements, as every server numbers them (src/include/catalog/pg_type.dat)."""

_pack_size = struct.Struct("!i").pack


class Array(bytes):
    """An array in binary form.

    Attributes:
        oid: The type of such an array.
    """

    __slots__ = ()
    oid: ClassVar[int] = 0


class BoolArray(Array):
    """An array of ``bool``."""

    __slots__ = ()
    oid = 1000


class ByteaArray(Array):
    """An array of ``bytea``."""

    __slots__ = ()
    oid = 1001


class Int2Array(Array):
    """An array of ``int2``."""

    __slots__ = ()
    oid = 1005


class TextArray(Array):
    """An array of ``text``."""

    __slots__ = ()
    oid = 1009


class Int8Array(Array):
    """An array of ``int8``."""

    __slots__ = ()
    oid = 1016


class Float8Array(Array):
    """An array of ``float8``, in which None is NULL."""

    __slots__ = ()
    oid = 1022


KINDS = (BoolArray, ByteaArray, Int2Array, TextArray, Int8Array, Float8Array)


def bool_array(values: Sequence[bool]) -> BoolArray:
    """Return an array of ``bool``."""
    return BoolArray(_of_numbers(_BOOL, "?", 1, values))


def int2_array(values: Sequence[int]) -> Int2Array:
    """Return an array of ``int2``."""
    return Int2Array(_of_numbers(_INT2, "h", 2, values))


def int8_array(values: Sequence[int]) -> Int8Array:
    """Return an array of ``int8``.

    Raises:
        OverflowError: A number has more than 64 bits.
    """
    return Int8Array(_of_numbers(_INT8, "q", 8, values))


def bytea_array(values: Sequence[bytes]) -> ByteaArray:
    """Return an array of ``bytea``."""
    return ByteaArray(_of_bytes(_BYTEA, values))


def text_array(values: Iterable[str]) -> TextArray:
    """Return an array of ``text``."""
    return TextArray(_of_bytes(_TEXT, [value.encode() for value in values]))


def float8_array(values: Sequence[float | None]) -> Float8Array:
    """Return an array of ``float8``, in which None is NULL."""
    elements = [
        _pack_size(-1) if value is None else struct.pack("!id", 8, value) for value in values
    ]
    return Float8Array(_header(_FLOAT8, len(elements), has_null=True) + b"".join(elements))


def _header(oid: int, count: int, *, has_null: bool = False) -> bytes:
    if not count:
        return struct.pack("!3i", 0, 0, oid)
    return struct.pack("!5i", 1, has_null, oid, count, 1)


def _of_numbers(oid: int, code: str, size_bytes: int, values: Sequence[int]) -> bytes:
    count = len(values)
    # All in one call of pack: the size stands before each number.
    elements: list[int] = [size_bytes] * (2 * count)
    elements[1::2] = values
    try:
        return _header(oid, count) + struct.pack(f"!{('i' + code) * count}", *elements)
    except struct.error as error:
        raise OverflowError(str(error)) from error


def _of_bytes(oid: int, values: Sequence[bytes]) -> bytes:
    elements = zip(map(_pack_size, map(len, values)), values, strict=True)
    return b"".join([_header(oid, len(values)), *chain.from_iterable(elements)])
