"""Builds the objects of a listing as XML, with fields replaced or left out."""

from xml.sax.saxutils import escape

NOON_NS = 1_795_435_200_000_000_000
"""Last-modified of the objects: 2026-11-23 12:00 UTC."""

USUAL = {
    "Key": "in/a",
    "Size": "5",
    "LastModified": "2026-11-23T12:00:00.000Z",
    "ETag": '"abc-2"',
    "StorageClass": "GLACIER",
}


def contents(key: str = "in/a", /, **fields: str | None) -> bytes:
    """Return an object as a ``Contents`` element without its end tag.

    Args:
        key: Its key.
        fields: Further children, and those that replace the usual ones; None leaves one out.
    """
    children = (
        f"<{name}>{escape(text)}</{name}>"
        for name, text in (USUAL | {"Key": key} | fields).items()
        if text is not None
    )
    return f"<Contents>{''.join(children)}".encode()
