"""Reads buckets of a tenant, whose users and others name them differently."""

import json
from contextlib import closing

import pytest

from support.s3.ceph import TENANT
from support.s3.listing import OpenSource, paths, read
from support.s3.real_servers import S3Server
from watcher.spec import BucketSpec

with_tenants = pytest.mark.parametrize("s3_server", ["ceph"], indirect=True)
KEYS = ["a", "b/c d", "b/%41+"]


@with_tenants
def test_bucket_of_a_tenant(s3_server: S3Server, tenant: S3Server, open_source: OpenSource) -> None:
    """Its user reads it by either name, another one whom a policy admits by the long one."""
    name = tenant.make_bucket()
    tenant.put_many(name, KEYS)
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": ["s3:ListBucket", "s3:GetObject"],
                "Resource": [f"arn:aws:s3::{TENANT}:{name}", f"arn:aws:s3::{TENANT}:{name}/*"],
            }
        ],
    }
    with closing(tenant.client()) as client:
        client.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    expected = sorted(key.encode() for key in KEYS)
    for server, bucket in [
        (tenant, name),
        (tenant, f"{TENANT}:{name}"),
        (s3_server, f"{TENANT}:{name}"),
    ]:
        source = open_source(server, BucketSpec(bucket))
        assert paths(read(source)) == expected
        inspection = source.inspect([*expected, b"never"])
        assert (paths(inspection.entries), inspection.gone) == (expected, [b"never"])


@with_tenants
def test_bucket_of_no_tenant(
    s3_server: S3Server, tenant: S3Server, open_source: OpenSource
) -> None:
    """A user of a tenant names it with a colon, where everyone may read it."""
    name = s3_server.make_bucket()
    s3_server.put_many(name, KEYS)
    with closing(s3_server.client()) as client:
        client.put_bucket_acl(Bucket=name, ACL="public-read")
    expected = sorted(key.encode() for key in KEYS)
    assert paths(read(open_source(tenant, BucketSpec(f":{name}")))) == expected
