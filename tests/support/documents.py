"""Reads the documents of the project: their headings, their tables, and what they fence."""

import re

from support.project import PROJECT

HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FENCE = "```"
LINKED = re.compile(r"\[([^]]+)\]\([^)]+\)")


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


def rows(page: str, first_header: str) -> list[list[str]]:
    """Return the cells of the table of a page that begins with a header, without links and code."""
    text = (PROJECT / "docs" / page).read_text(encoding="utf-8")
    table = text.partition(f"\n| {first_header} |")[2].partition("\n\n")[0]
    return [
        [LINKED.sub(r"\1", cell.strip().replace("`", "")) for cell in line.strip("|").split("|")]
        for line in table.splitlines()[2:]
    ]
