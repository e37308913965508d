"""The survey of a bucket whose versions are read, on the simulated store."""

import pytest

from support.clock import FakeClock
from support.s3.fixtures import aws_environment
from support.s3.version_fixtures import store
from support.s3.versioned import VersionedStore, Versioning
from watcher.cli.survey import Survey, survey_place
from watcher.cli.version_survey import VersionNumbers
from watcher.config.schema import parse_spec

__all__ = ["aws_environment", "store"]


def survey(store: VersionedStore) -> Survey:
    where = f"{{bucket: {store.bucket}, endpoint_url: {store.endpoint_url}, versions: true}}"
    text = f's3: {where}\ninclude: ["*.csv"]\nmin_size: 10'
    return survey_place(parse_spec(text.encode()), FakeClock(), lambda _: None)


def test_versions_are_counted(store: VersionedStore) -> None:
    """Keys that match count; names are those of keys; conditions are asked of versions alone."""
    for size in (5, 20):
        store.put("in/a.csv", size)
    store.delete("in/a.csv")
    store.put("in/b.csv", 30)
    store.put("in/c.txt", 30)
    found = survey(store)
    assert found.versions == VersionNumbers(keys=2, delete_markers=1)
    assert (found.matching, found.left_out, found.size) == (4, 1, 55)
    assert (found.first, found.held_back.min_size) == (["in/a.csv", "in/b.csv"], 1)
    assert found.remark == ""


@pytest.mark.parametrize("versioning", [Versioning.OFF, Versioning.SUSPENDED])
def test_bucket_without_versioning_is_remarked(
    store: VersionedStore, versioning: Versioning
) -> None:
    """It can be watched, and less is noticed than one may expect."""
    store.versioning = versioning
    store.put("in/a.csv", 20)
    found = survey(store)
    assert found.matching == 1
    assert "versioning is" in found.remark
