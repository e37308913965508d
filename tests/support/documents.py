"""Reads the documents of the project: their headings, and what they fence."""

import re

from support.project import PROJECT

HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FENCE = "```"


def section(page: str, heading: str) -> str:
    """Return what stands below a heading of a page of ``docs``, up to the next heading."""
    text = (PROJECT / "docs" / page).read_text(encoding="utf-8")
    current, is_fenced, lines = "", False, []
    for line in text.splitlines(keepends=True):
        is_fenced ^= line.startswith(FENCE)
        if not is_fenced and (found := HEADING.match(line)):
            current = found[1].strip()
        elif current == heading:
            lines.append(line)
    assert lines, f"{page} has nothing below a heading {heading!r}"
    return "".join(lines)


def fenced(text: str, language: str) -> list[str]:
    """Return what a text fences as one language."""
    return [block for kind, block in FENCED.findall(text) if kind == language]
