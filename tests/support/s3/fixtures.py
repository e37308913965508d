"""Opens bucket sources, and keeps the AWS configuration of the machine out of the tests."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_s3 import S3Client

from support.s3.listing import OpenSource, Server, make_source
from support.s3.real_servers import S3Server
from watcher.clock import Clock
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
def open_source(aws_environment: pytest.MonkeyPatch) -> Iterator[OpenSource]:
    """Return what opens a source on a server, with its credentials in the environment."""
    with ExitStack() as stack:

        def open_it(
            server: Server,
            spec: BucketSpec,
            *,
            should_stop: Callable[[], bool] = lambda: False,
            clock: Clock | None = None,
        ) -> BucketSource:
            for name, value in server.environment().items():
                aws_environment.setenv(name, value)
            source = make_source(
                replace(spec, endpoint_url=server.endpoint_url),
                should_stop=should_stop,
                clock=clock,
            )
            stack.callback(source.close)
            source.open(lambda: None)
            return source

        yield open_it


@dataclass(frozen=True, slots=True)
class RealBucket:
    """A bucket that begins empty on a real server.

    Attributes:
        server: The server.
        name: Name of the bucket.
        client: A client of the test's own beside the source.
        open_source: Opens sources on the server.
    """

    server: S3Server
    name: str
    client: S3Client
    open_source: OpenSource

    def put(self, *keys: str, body: bytes = b"x") -> str:
        """Put an object at each key, in order, and return the last one's etag without quotes.

        A folder, whose key ends in a slash, has no content: VersityGW takes none.
        """
        etag = ""
        for key in keys:
            content = b"" if key.endswith("/") else body
            answer = self.client.put_object(Bucket=self.name, Key=key, Body=content)
            etag = answer["ETag"].strip('"')
        return etag

    def delete(self, *keys: str) -> None:
        """Delete objects, in order."""
        for key in keys:
            self.client.delete_object(Bucket=self.name, Key=key)

    def open(self, **spec: Any) -> BucketSource:  # noqa: ANN401 - fields of a spec
        """Return an open source of the bucket with further fields of its spec."""
        return self.open_source(self.server, BucketSpec(self.name, **spec))


@pytest.fixture
def bucket(s3_server: S3Server, open_source: OpenSource) -> Iterator[RealBucket]:
    """Make an empty bucket."""
    with closing(s3_server.client()) as client:
        yield RealBucket(s3_server, s3_server.make_bucket(), client, open_source)
