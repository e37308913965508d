"""Compares polls of a bucket with versions with boto3's paginator: python bench/versions.py.

Ten versions a key, in pages that a process of its own serves as they are. Both list in this
process; the watch also compares with its index, which is on disk, and the paginator only counts.
CPU seconds are those of this process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import Process, SimpleQueue
from pathlib import Path
from urllib.parse import parse_qsl

import boto3

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.s3.endpoint import serve
from support.s3.faults import XML_HEAD, Answer
from support.s3.simulated import BUCKET, CREDENTIALS
from support.s3.watched_versions import WatchedVersions
from watcher.changes.detector import Appearance

VERSIONS_A_KEY = 10
PAGE_VERSIONS = 1000
POLLS = 3


class Pages:
    """A bucket whose pages are computed once.

    Args:
        versions: Number of its versions.
    """

    endpoint_url = ""

    def __init__(self, versions: int) -> None:
        self._pages: dict[str, bytes] = {}
        after = ""
        for start in range(0, versions, PAGE_VERSIONS):
            numbers = range(start, min(start + PAGE_VERSIONS, versions))
            key, last = f"in/{numbers[-1] // VERSIONS_A_KEY:09}", f"v{numbers[-1]:020}"
            more = numbers[-1] + 1 < versions
            following = f"<NextKeyMarker>{key}</NextKeyMarker>" * more
            following += f"<NextVersionIdMarker>{last}</NextVersionIdMarker>" * more
            self._pages[after] = (
                f"{XML_HEAD}<ListVersionsResult><Name>{BUCKET}</Name><Prefix>in/</Prefix>"
                f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>"
                f"{following}{''.join(map(_version, numbers))}</ListVersionsResult>"
            ).encode()
            after = last

    def answer(
        self, _method: str, target: str, _headers: Mapping[str, str], _body: bytes
    ) -> Answer:
        """Answer a request; see ``endpoint.Responder``."""
        asked = dict(parse_qsl(target.partition("?")[2], keep_blank_values=True))
        if "versioning" in asked:
            name = "VersioningConfiguration"
            return Answer(f"<{name}><Status>Enabled</Status></{name}>".encode())
        return Answer(self._pages[asked.get("version-id-marker", "")])

    def environment(self) -> dict[str, str]:
        """Return environment variables with credentials for an AWS SDK."""
        return dict(CREDENTIALS)


def _version(number: int) -> str:
    age = number % VERSIONS_A_KEY
    return (
        f"<Version><Key>in/{number // VERSIONS_A_KEY:09}</Key><VersionId>v{number:020}</VersionId>"
        f"<IsLatest>{str(age == 0).lower()}</IsLatest>"
        f"<LastModified>2026-01-{28 - age:02}T12:00:00.000Z</LastModified>"
        f"<ETag>&quot;{number:032x}&quot;</ETag><Size>{number}</Size>"
        f"<Owner><ID>{'a' * 64}</ID></Owner><StorageClass>STANDARD</StorageClass></Version>"
    )


def _serve(versions: int, urls: SimpleQueue[str]) -> None:
    with serve(Pages(versions).answer) as url:
        urls.put(url)
        time.sleep(3600)


@contextmanager
def run(versions: int) -> Iterator[Pages]:
    """Serve a bucket in a process of its own."""
    urls: SimpleQueue[str] = SimpleQueue()
    process = Process(target=_serve, args=(versions, urls), daemon=True)
    process.start()
    pages = Pages(0)
    pages.endpoint_url = urls.get()
    yield pages
    process.kill()


def measure(name: str, versions: int, work: Callable[[], object]) -> float:
    """Do something, print what it took, and return the CPU seconds."""
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    work()
    took_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    print(
        f"  {name:<24}{took_s:9.2f} s{cpu_s:9.2f} CPU s{cpu_s / versions * 1e6:9.2f} µs a version"
    )
    return cpu_s


def paginate(endpoint_url: str, versions: int) -> None:
    """List with boto3's paginator."""
    client = boto3.client("s3", endpoint_url=endpoint_url)
    paginator = client.get_paginator("list_object_versions")
    pages = paginator.paginate(Bucket=BUCKET, Prefix="in/")
    assert sum(len(page.get("Versions", ())) for page in pages) == versions


def main() -> None:
    """Measure the bucket of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--versions", type=int, default=100_000)
    versions: int = parser.parse_args().versions
    os.environ |= CREDENTIALS
    with run(versions) as store, tempfile.TemporaryDirectory() as directory:
        print(f"\n{versions:,} versions, {VERSIONS_A_KEY} a key")
        boto3.client("s3", endpoint_url=store.endpoint_url)
        peer_s = measure(
            "boto3 paginator", versions, lambda: paginate(store.endpoint_url, versions)
        )
        watched = WatchedVersions(store, BUCKET, Path(directory, "state.db"))
        measure("first listing", versions, lambda: watched.begin(Appearance.IGNORED_EXISTING))
        assert len(watched.rows) == versions
        cpu_s = min(measure("poll without a change", versions, watched.poll) for _ in range(POLLS))
        watched.close()
        print(f"  {peer_s / cpu_s:.1f} times the versions a CPU second of the paginator")


if __name__ == "__main__":
    main()
