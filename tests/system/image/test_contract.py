"""End-to-end tests that need nothing but a server, run against one in a container."""

# ruff: noqa: F401 - pytest runs what is imported here

from e2e.test_acknowledge import test_an_event_of_a_server_that_was_restarted
from e2e.test_endpoints import test_health, test_probes, test_reflection
from e2e.test_exactness import test_bucket_is_told_exactly, test_directory_is_told_exactly
from e2e.test_places import (
    quick,
    test_root_that_is_renamed_away_and_back,
    test_root_that_is_replaced_by_an_empty_one,
    test_store_that_is_stopped_and_started,
)
from e2e.test_refusals import (
    test_bad_configuration_names_line_and_key,
    test_missing_directory_is_refused,
    test_wrong_keys_are_refused,
)
from e2e.test_replay import test_a_living_stream_is_sent_them_again
from e2e.test_restart import (
    test_changes_in_a_bucket_while_killed_are_told_once,
    test_changes_in_a_directory_while_killed_are_told_once,
    test_filter_changes_keep_index_and_cursor,
    test_unconfirmed_events_come_again,
    test_unconfirmed_events_come_again_to_the_next_stream,
)
from e2e.test_sharing import (
    test_batches_carry_several_events,
    test_cloudevents_over_the_wire,
    test_configurations_written_differently_are_the_same,
    test_names_that_are_not_text,
    test_only_the_asked_for_types_are_told,
    test_s3_notifications_over_the_wire,
)
