"""A page shows whether its keys are URL-encoded, or leaves it open."""

import pytest

from support.s3.contents import contents
from watcher.sources.s3.key_encoding import SAMPLED_KEYS, KeyEncoding, find_evidence

URL, PLAIN, UNCERTAIN = KeyEncoding


@pytest.mark.parametrize(
    ("keys", "if_named", "if_not", "samples"),
    [
        ("a|b", URL, PLAIN, ""),
        ("a b", URL, PLAIN, ""),
        ("100%", URL, PLAIN, ""),
        ("a+b", URL, PLAIN, "a+b"),
        ("a%20b", URL, UNCERTAIN, "a%20b"),
        ("a%20b|c+d", URL, UNCERTAIN, "a%20b|c+d"),
        ("a+b|c d", PLAIN, PLAIN, "a+b"),
        ("a+b|é", PLAIN, PLAIN, "a+b"),
        ("100%|a+b", PLAIN, PLAIN, "a+b"),
        ("a%20b|c d", UNCERTAIN, PLAIN, "a%20b"),
        ("a%20b|a b", PLAIN, PLAIN, ""),
        ("a&+|a& ", PLAIN, PLAIN, ""),
    ],
)
def test_evidence(keys: str, if_named: KeyEncoding, if_not: KeyEncoding, samples: str) -> None:
    """Characters that no encoder leaves, escapes, and keys that would be there twice count."""
    objects = b"".join(contents(f"in/{key}") + b"</Contents>" for key in keys.split("|"))
    for is_named, expected in ((True, if_named), (False, if_not)):
        found = find_evidence(objects, b"in/", is_named=is_named)
        assert found.encoding is expected
        assert list(found.samples) == [f"in/{key}" for key in samples.split("|") if key]


@pytest.mark.parametrize(
    ("prefix", "key", "expected"),
    [
        ("a b/", "a+b/x", URL),
        ("a b/", "a%20b/x", URL),
        ("a+b/", "a+b/x", PLAIN),
        ("100%25/", "100%25/x", PLAIN),
        ("é/", "%C3%A9/x", URL),
    ],
)
@pytest.mark.parametrize("is_named", [True, False])
def test_the_prefix_decides(
    prefix: str, key: str, expected: KeyEncoding, *, is_named: bool
) -> None:
    """Where only one reading of the keys begins with the prefix, nothing is open."""
    objects = contents(key) + b"</Contents>"
    found = find_evidence(objects, prefix.encode(), is_named=is_named)
    assert found == (expected, ())


def test_samples_are_few_and_readable() -> None:
    """A page gives a few keys to be asked for, as XML means them, and none that it cannot carry."""
    keys = ["in/\x01%", "in/a&+", *(f"in/{number}+" for number in range(9))]
    objects = b"".join(contents(key) + b"</Contents>" for key in keys)
    samples = find_evidence(objects, b"in/", is_named=True).samples
    assert len(samples) == SAMPLED_KEYS
    assert "in/a&+" in samples
