"""Writers on the client's side of a network file system, whose files are reported as well."""

import pytest

from system.kernels.course import Course, check
from system.kernels.places import PLACES, Place
from system.kernels.table import Table

REMOTE = [place for place in PLACES if place.is_remote]


@pytest.mark.parametrize("place", REMOTE, ids=str)
@pytest.mark.parametrize("case", ["written", "renamed", "silly rename"])
def test_writers_on_the_client(
    courses: dict[Place, Course], table: Table, place: Place, case: str
) -> None:
    check(courses[place], courses[place].client_side, case, table)
