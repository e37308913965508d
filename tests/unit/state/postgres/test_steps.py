"""Steps: one statement that begins with the fence, its marks numbered through all parts."""

from __future__ import annotations

from watcher.state.postgres.steps import Part, fence, numbered, one_statement


def test_marks_are_numbered_through_all_parts() -> None:
    parts = [Part("A $1 ? ?", (7, 8)), Part("B"), Part("C ?", (9,))]
    statement = one_statement(["cursor", "next_seq"], parts)
    assert statement == (
        "WITH fence AS (UPDATE watcher.counters SET step = step + 1, cursor = $4, next_seq = $5 "
        "WHERE watch = $1 AND epoch = $2 AND step = $3 RETURNING watch), "
        "part_0 AS (A $1 $6 $7), part_1 AS (B), part_2 AS (C $8) "
        "SELECT 1 / count(*) FROM fence"
    )


def test_a_fence_without_counters_counts_the_step() -> None:
    assert "SET step = step + 1 WHERE watch = $1 AND epoch = $2 AND step = $3" in fence()


def test_a_read_has_its_marks_after_the_watch() -> None:
    assert numbered("watch = $1 AND seq > ? AND seq < ?") == "watch = $1 AND seq > $2 AND seq < $3"


def test_the_size_of_a_part_is_that_of_its_bytes() -> None:
    assert Part("", (b"123", 4, "56", b"7")).size_bytes == 4
