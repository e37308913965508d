"""What a first scan and an unchanged rescan of a directory and of a bucket cost: python bench/scan.py [--entries N].

Runs `watcher serve` as it is, polls the place every second, and prints seconds, CPU and memory of the server, each beside a peer that
is measured in the same run: a plain walk with scandir and stat for the directory, boto3's own paginator for the bucket (SeaweedFS).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from harness import make_files, measure, walk

from s3_servers import S3Server, run_seaweedfs


def measure_directory(entries: int) -> None:
    """Measure a tree of files, a thousand in each directory."""
    with tempfile.TemporaryDirectory() as root:
        make_files(root, entries)
        config = f"directory: {{path: {root}, mode: poll, poll_interval: 1s, settle: 0s}}"
        measure("directory", entries, config, {}, "scandir and stat", lambda: walk(root))


def measure_bucket(entries: int) -> None:
    """Measure a bucket of small objects."""
    with tempfile.TemporaryDirectory() as data, run_seaweedfs(Path(data)) as (server, _):
        bucket = server.make_bucket()
        print(f"\nputting {entries:,} objects …", flush=True)
        server.put_many(bucket, (f"{number // 1000:04}/{number:07}.csv" for number in range(entries)))
        config = f"s3: {{bucket: {bucket}, endpoint_url: {server.endpoint_url}, poll_interval: 1s}}"
        measure("bucket", entries, config, server.environment(), "boto3 paginator", lambda: paginate(server, bucket))


def paginate(server: S3Server, bucket: str) -> int:
    """List a bucket with boto3's paginator."""
    with closing(server.client()) as client:
        return sum(len(page.get("Contents", ())) for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket))


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--only", choices=("directory", "bucket"))
    arguments = parser.parse_args()
    if arguments.only != "bucket":
        measure_directory(arguments.entries)
    if arguments.only != "directory":
        measure_bucket(arguments.entries)


if __name__ == "__main__":
    main()
