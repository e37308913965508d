"""End-to-end tests of what the image changes: its user, files and libraries."""

# ruff: noqa: F401 - pytest runs what is imported here

from e2e.test_endpoints import test_health, test_probes, test_reflection
from e2e.test_exactness import test_bucket_is_told_exactly, test_directory_is_told_exactly
from e2e.test_places import quick, test_root_that_is_replaced_by_an_empty_one
from e2e.test_refusals import test_bad_configuration_names_line_and_key, test_wrong_keys_are_refused
from e2e.test_restart import (
    test_changes_in_a_directory_while_killed_are_told_once,
    test_filter_changes_keep_index_and_cursor,
)
from e2e.test_sharing import test_cloudevents_over_the_wire, test_names_that_are_not_text
