"""Writers on the server's side: each file is reported once, and whole."""

import pytest

from system.kernels.course import Course, check
from system.kernels.places import PLACES, Place
from system.kernels.table import Table

CASES = ["W1", "W2", "W3", "W4", "A1", "A2 ahead", "A2 behind", "A4", "A5", "T2"]
CASES += ["same size", "deleted"]

places = pytest.mark.parametrize("place", PLACES, ids=str)


@places
@pytest.mark.parametrize("case", CASES)
def test_writers_on_the_server(
    courses: dict[Place, Course], table: Table, place: Place, case: str
) -> None:
    check(courses[place], courses[place].server_side, case, table)


@places
def test_a_change_after_a_rename_in_case(
    courses: dict[Place, Course], table: Table, place: Place
) -> None:
    """It is reported under the present name alone."""
    check(courses[place], courses[place].again, "T2 later", table)


@places
def test_nothing_is_invented(courses: dict[Place, Course], table: Table, place: Place) -> None:
    """Neither in the course nor when the kernel has forgotten all inodes (A3)."""
    course = courses[place]
    invented = course.again.others()
    table.note(place.result("A3", ", ".join(map(" ".join, invented)) or "nothing"))
    assert course.error == ""
    assert course.server_side.others() == []
    assert course.client_side.others() == []
    assert invented == []
