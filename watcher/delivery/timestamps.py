"""Times as RFC 3339 text in UTC; what is outside the years 1 to 9999 becomes the nearest second."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

_SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - all times here are UTC; naive ones format twice as fast
_FIRST_SECOND = -62_135_596_800  # 0001-01-01T00:00:00
_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59


def rfc3339(time_ns: int) -> str:
    """Return nanoseconds since the epoch to the nanosecond, without trailing zeros."""
    second, rest_ns = divmod(time_ns, _SECOND_NS)
    if not rest_ns:
        return f"{_to_the_second(second)}Z"
    return f"{_to_the_second(second)}.{rest_ns:09d}".rstrip("0") + "Z"


def rfc3339_ms(time_ns: int) -> str:
    """Return nanoseconds since the epoch to the millisecond, as S3 does."""
    second, rest_ns = divmod(time_ns, _SECOND_NS)
    return f"{_to_the_second(second)}.{rest_ns // 1_000_000:03d}Z"


@lru_cache(maxsize=1024)
def _to_the_second(second: int) -> str:
    """Return seconds since the epoch as ``2026-01-31T12:00:00``; events of a moment share it."""
    representable = min(max(second, _FIRST_SECOND), _LAST_SECOND)
    return (_EPOCH + timedelta(seconds=representable)).isoformat()
