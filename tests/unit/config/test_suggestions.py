"""The key that was meant by one that is not known: misspelt, or written at another level."""

import pytest

from support.problems import problems

SETTLE = '"settle" belongs under "directory", as in directory: {path: /data/in, settle: 5s}'
MAX_WAIT = (
    '"max_wait" belongs under "directory" or "batch", '
    "as in directory: {path: /data/in, max_wait: 10m}"
)
PREFIX = '"prefix" belongs under "s3", as in s3: {bucket: landing, prefix: in/}'


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # Misspelt, at the right level.
        ("directory: /a\nbatchs: {}", 'did you mean "batch"?'),
        ("directory: {path: /a, pol_interval: 3s}", 'did you mean "poll_interval"?'),
        # As other programs call it.
        ("directory: /a\nCase-Sensitive: false", 'did you mean "match_case"?'),
        ("directory: {path: /a, regex: x}", 'did you mean "include" at the top level?'),
        # At another level.
        ("directory: /a\nsettle: 3s", SETTLE),
        ("directory: /a\ndirectory.settle: 3s", SETTLE),
        ("s3: s3://abc\nprefix: in/", PREFIX),
        ("directory: /a\nmax_wait: 3s", MAX_WAIT),
        (
            "directory: /a\npath: /b",
            '"path" belongs under "directory", as in directory: {path: /data/in}',
        ),
        ("directory: {path: /a, id: x}", '"id" belongs at the top level'),
        ("directory: /a\nbatch: {format: flat}", '"format" belongs at the top level'),
        ("s3: {bucket: abc, settle: 3s}", SETTLE),
        # Of two places, the one that the configuration has.
        (
            "s3: s3://abc\npoll_interval: 3s",
            '"poll_interval" belongs under "s3", as in s3: {bucket: landing, poll_interval: 5m}',
        ),
        # Misspelt, at another level.
        ("directory: /a\nsetle: 3s", 'did you mean "directory.settle"?'),
        ("s3: s3://abc\nprefx: in/", 'did you mean "s3.prefix"?'),
        ("directory: /a\nmax_event: 3", 'did you mean "batch.max_events"?'),
        ("s3: {bucket: abc, max_event: 3}", 'did you mean "batch.max_events"?'),
        ("s3: s3://abc\npol_interval: 3s", 'did you mean "s3.poll_interval"?'),
        ("directory: {path: /a, exlude: x}", 'did you mean "exclude" at the top level?'),
    ],
)
def test_an_unknown_key_suggests_the_one_that_was_meant(config: str, expected: str) -> None:
    assert problems(config).endswith(f": unknown key, {expected}")


def test_without_a_place_every_place_is_suggested() -> None:
    expected = 'unknown key, did you mean "directory.poll_interval" or "s3.poll_interval"?'
    assert expected in problems("pol_interval: 3s")
    assert 'belongs under "directory" or "s3", as in directory' in problems("poll_interval: 3s")


@pytest.mark.parametrize("name", ["zone", "suffix", "owner", "😀", "x" * 1000])
def test_a_key_like_no_other_suggests_nothing(name: str) -> None:
    assert problems(f"s3: s3://abc\n{name}: 1").endswith(": unknown key")
