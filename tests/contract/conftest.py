"""Names the fixtures of the tests on real S3 servers."""

from support.s3.fixtures import aws_environment, bucket, open_source

__all__ = ["aws_environment", "bucket", "open_source"]
