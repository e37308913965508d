"""Sessions of the SDK a client of a bucket: one takes as much CPU time as the rest of it."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from botocore.session import Session

from support.s3.simulated import BUCKET, CREDENTIALS, REGION
from watcher.clock import Clock
from watcher.security.endpoint_authorities import EndpointAuthorities
from watcher.sources.s3.client import make_client
from watcher.sources.s3.trust import Trust
from watcher.spec import BucketSpec

SPECS = {
    "keys": BucketSpec(BUCKET, region=REGION),
    "role": BucketSpec(BUCKET, region=REGION, role_arn="arn:aws:iam::123456789012:role/reader"),
    "anonymous": BucketSpec(BUCKET, region=REGION, anonymous=True),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_a_client_takes_one_session(aws_environment: pytest.MonkeyPatch, spec: BucketSpec) -> None:
    for name, value in CREDENTIALS.items():
        aws_environment.setenv(name, value)
    sessions: list[Session] = []
    initialize = Session.__init__

    def note(session: Session, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - passed on
        sessions.append(session)
        initialize(session, *arguments, **options)

    aws_environment.setattr(Session, "__init__", note)
    client = make_client(
        spec,
        connections=1,
        slow_down=lambda _: None,
        clock=Clock(),
        trust=Trust(EndpointAuthorities()),
    )
    with closing(client):
        assert len(sessions) == 1
