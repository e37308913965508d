"""The picture of the last hour: its bars, and the same in words."""

import re
from xml.etree import ElementTree as ET

import pytest

from watcher.web.sparkline import draw_last_hour

EMPTY: list[float] = []
QUIET = [0.0] * 59


def picture(changes: list[float], lag_s: list[float]) -> ET.Element:
    """Return the picture, which is well-formed XML."""
    return ET.fromstring(draw_last_hour(changes, lag_s).partition("<small>")[0])  # noqa: S314 - our own


def bars(changes: list[float], lag_s: list[float], series: str) -> list[tuple[int, int]]:
    """Return the left edge and the height of the bars of a series."""
    path = next(each for each in picture(changes, lag_s) if each.get("class") == series)
    return [
        (int(left), int(height))
        for left, height in re.findall(r"M(\d+) \d+v-(\d+)h2V\d+z", path.get("d", ""))
    ]


def test_the_bars() -> None:
    """They are as high as the greatest; what is above 0 can be seen; a lag is small below 60 s."""
    changes = [*QUIET[:57], 1.0, 0.0, 1000.0]
    assert bars(changes, [*QUIET, 30.0], "changes") == [(114, 1), (118, 16)]
    assert bars(changes, [*QUIET, 30.0], "lag") == [(118, 8)]
    assert bars(changes, [*QUIET[:58], 600.0, 300.0], "lag") == [(116, 16), (118, 8)]
    assert bars(changes, EMPTY, "lag") == []


@pytest.mark.parametrize(
    ("changes", "lag_s", "text"),
    [
        (
            [*QUIET[:58], 1.0, 1499.0],
            [*QUIET, 31.2],
            "The last hour: 1,500 changes, up to 1,499/min; lag up to 31 s",
        ),
        (EMPTY, [*QUIET, 7300.0], "The last hour: 0 changes, up to 0/min; lag up to 2 h"),
        ([*QUIET, 1.0], EMPTY, "The last hour: 1 change, up to 1/min; lag up to 0 s"),
    ],
)
def test_the_picture_in_words(changes: list[float], lag_s: list[float], text: str) -> None:
    """As its name, for those who hear it, and beside it, where pictures are not shown."""
    title, description, *_ = picture(changes, lag_s)
    assert (title.tag, title.text, description.tag) == ("title", text, "desc")
    beside = re.findall("<small>(.*?)</small>", draw_last_hour(changes, lag_s))
    assert f"The last hour: {'; '.join(beside)}" == text


def test_an_hour_without_anything() -> None:
    assert draw_last_hour([], []) == "<small>no changes</small>"
