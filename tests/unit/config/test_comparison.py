"""The problems that the key ``compare`` can have."""

import pytest

from support.problems import problems

ATTRIBUTES = "size, mtime, ctime, inode"
NEITHER = f"must be auto, content or a list of {ATTRIBUTES}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("[sise, mtime]", f'[0]: must be one of {ATTRIBUTES} (got "sise"), did you mean "size"?'),
        ("mtimes", f': {NEITHER} (got "mtimes"), did you mean "mtime"?'),
        ("17", f": {NEITHER} (got 17)"),
        ("[17]", f"[0]: must be one of {ATTRIBUTES} (got 17)"),
        ("[[size]]", f"[0]: must be one of {ATTRIBUTES} (got a list)"),
        ("[size, size]", ": names size twice"),
        ("[]", f": must name at least one of {ATTRIBUTES}"),
        ("[auto]", "[0]: auto stands alone, as in compare: auto"),
        ("[size, content]", "[1]: content stands alone, as in compare: content"),
        ("contents", f': {NEITHER} (got "contents"), did you mean "content"?'),
        ("{size: true}", ": must be a list (got a mapping)"),
    ],
)
def test_what_cannot_be_compared(value: str, expected: str) -> None:
    config = f"directory: {{path: /a, compare: {value}}}"
    assert problems(config) == f"line 1, directory.compare{expected}"
