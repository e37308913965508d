"""Cuts a stream of bytes into lines. Pure."""

from __future__ import annotations

LINE_MAX_BYTES = 1024 * 1024
"""Maximum length of a line in bytes.

A record has one key of up to 1,024 bytes and metadata of up to 2 KiB, each byte written as six at
the most (RFC 8259, section 7); 1 MiB leaves room for a hundred such records.
"""


class LongLineError(Exception):
    """A line has no end within ``LINE_MAX_BYTES``."""


class LineBuffer:
    """Holds the beginning of a line until its end arrives.

    Blank lines, and blanks around a line, keep a connection alive and mean nothing.
    """

    def __init__(self) -> None:
        self._begun = bytearray()

    def add(self, data: bytes) -> list[bytes]:
        """Add bytes that have arrived, and return the lines that they complete.

        Args:
            data: The bytes, as they arrive.

        Returns:
            The lines without their ends, in order; often none.

        Raises:
            LongLineError: The line that has begun is too long; nothing more can be added.
        """
        first, *others = data.split(b"\n")
        lines = []
        for other in others:
            lines.append(bytes(self._begun + first).strip())
            self._begun.clear()
            first = other
        self._begun += first if self._begun else first.lstrip()
        if len(self._begun) > LINE_MAX_BYTES:
            raise LongLineError
        return [line for line in lines if line]
