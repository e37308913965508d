"""End-to-end tests of what the image changes: its user, files and libraries."""

# ruff: noqa: F401 - pytest runs what is imported here

from e2e.test_exactness import test_bucket_is_reported_exactly, test_directory_is_reported_exactly
from e2e.test_places import quick, test_root_that_is_replaced_by_an_empty_one
from e2e.test_refusals import test_directories
from e2e.test_restart import (
    test_changes_while_killed_are_reported_once,
    test_filter_changes_keep_index_and_cursor,
)
from e2e.test_sharing import (
    test_cloudevents_over_the_wire,
    test_configurations_written_differently_are_the_same,
)
from e2e.test_site import strict, test_a_token_shows_its_own
from e2e.test_tokens import guarded, guest, test_health_and_reflection_need_no_token
