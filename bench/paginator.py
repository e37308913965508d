"""A process that lists a bucket with boto3's own paginator: python bench/paginator.py ENDPOINT_URL BUCKET; started by bench/bucket.py.

Credentials come from the environment. It prints one line of JSON: the keys that it saw, the seconds and the CPU seconds that listing
took, without loading boto3, and the peak of its memory.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import boto3


def main() -> None:
    """List the bucket as boto3's documentation does."""
    endpoint_url, bucket = sys.argv[1:]
    client = boto3.client("s3", endpoint_url=endpoint_url)
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    keys = sum(
        len(page.get("Contents", ()))
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    )
    took_s, took_cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    # Not from getrusage, which counts the memory of the process that started this one.
    (peak,) = (
        line.split()[1]
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    )
    print(
        json.dumps(
            {"keys": keys, "took_s": took_s, "cpu_s": took_cpu_s, "peak_mib": int(peak) / 1024}
        )
    )


if __name__ == "__main__":
    main()
