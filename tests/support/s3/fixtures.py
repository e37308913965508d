"""Opens bucket sources, and keeps the AWS configuration of the machine out of the tests."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from mypy_boto3_s3 import S3Client

from support.s3.listing import OpenSource, Server, make_source
from support.s3.real_servers import S3Server
from watcher.sources.s3.source import BucketSource
from watcher.spec import BucketSpec


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Begin with no credentials, files or metadata service; return what sets variables."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return monkeypatch


@pytest.fixture
def client(s3_server: S3Server) -> Iterator[S3Client]:
    """Return a client of the test's own beside the source."""
    with closing(s3_server.client()) as client:
        yield client


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    """Make an empty bucket."""
    return s3_server.make_bucket()


@pytest.fixture
def open_source(aws_environment: pytest.MonkeyPatch) -> Iterator[OpenSource]:
    """Return what opens a source on a server, with its credentials in the environment."""
    with ExitStack() as stack:

        def open_it(
            server: Server, spec: BucketSpec, *, should_stop: Callable[[], bool] = lambda: False
        ) -> BucketSource:
            for name, value in server.environment().items():
                aws_environment.setenv(name, value)
            source = make_source(
                replace(spec, endpoint_url=server.endpoint_url), should_stop=should_stop
            )
            stack.callback(source.close)
            source.open(lambda: None)
            return source

        yield open_it
