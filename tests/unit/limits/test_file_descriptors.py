"""The limit of descriptors, as macOS has it: no hard limit, and a soft one that is bounded."""

import resource

import pytest

from watcher.limits import file_descriptors


@pytest.mark.parametrize(("soft", "expected"), [(256, 10_240), (20_000, 20_000)])
def test_a_limit_that_cannot_be_the_hard_one(
    monkeypatch: pytest.MonkeyPatch, soft: int, expected: int
) -> None:
    limits = [(soft, 1 << 62)]

    def set_limit(_: int, wanted: tuple[int, int]) -> None:
        # setrlimit(2) of macOS: EINVAL above OPEN_MAX, which Python raises as a ValueError.
        if wanted[0] > max(soft, 10_240):
            message = "current limit exceeds maximum limit"
            raise ValueError(message)
        limits.append(wanted)

    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    file_descriptors.raise_limit()
    assert limits[-1] == (expected, 1 << 62)
