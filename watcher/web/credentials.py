"""Reads a token from HTTP Basic, for clients that cannot send it as a bearer token."""

from __future__ import annotations

from base64 import b64decode


def bearer_of(header: str | None) -> str | None:
    """Return an Authorization header with HTTP Basic turned into a bearer token of its password.

    Browsers send Basic, and so do services that take a user and a password in a URL.
    """
    scheme, _, value = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return header
    try:
        return f"Bearer {b64decode(value, validate=True).decode().partition(':')[2]}"
    except ValueError:
        return header
