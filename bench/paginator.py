"""Lists a bucket with boto3's paginator, as a process: python bench/paginator.py URL BUCKET.

Started by bench/bucket.py, with credentials in the environment. It prints one line of JSON: the
number of keys, seconds and CPU seconds of the listing without loading boto3, and the peak of its
memory.
"""

from __future__ import annotations

import json
import sys
import time

import boto3
from harness import peak_mib


def main() -> None:
    """List the bucket as in boto3's documentation."""
    endpoint_url, bucket = sys.argv[1:]
    client = boto3.client("s3", endpoint_url=endpoint_url)
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    keys = sum(
        len(page.get("Contents", ()))
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    )
    took_s, took_cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    # getrusage would count the memory of the process that started this one.
    cost = {"took_s": took_s, "cpu_s": took_cpu_s, "peak_mib": peak_mib("self")}
    print(json.dumps({"keys": keys} | cost))


if __name__ == "__main__":
    main()
