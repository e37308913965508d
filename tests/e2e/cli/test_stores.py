"""Stores of one's own and public buckets on the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.certificates import Authority
from support.program import Run, Start
from support.s3.simulated import BUCKET, Store, run_store


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def store(authority: Authority) -> Iterator[Store]:
    with run_store(tls=authority.issue("store")) as store:
        store.put("ready")
        yield store


def test_check(run: Run, store: Store, authority: Authority) -> None:
    """The variable of the flag names authorities; without, one line says which flag to add."""
    url = store.endpoint_url
    text = f"s3: {{bucket: {BUCKET}, endpoint_url: '{url}', anonymous: true}}"
    done = run("check", "-", stdin=text)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.endswith(f"--endpoint-ca {url}=FILE\n")
    variable = f"https://other.example={authority.certificate},{url}={authority.certificate}"
    done = run("check", "-", stdin=text, WATCHER_ENDPOINT_CA=variable)
    assert (done.returncode, done.stderr) == (0, "")


def test_check_refuses_an_address_that_is_nearly_right(run: Run) -> None:
    """What the dashboard of R2 shows has the bucket in it; one line has what to write."""
    url = "https://0ab.r2.cloudflarestorage.com"
    text = f"s3:\n  bucket: landing\n  endpoint_url: {url}/landing\n"
    done = run("check", "--offline", "-", stdin=text)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert (
        f'line 3, s3.endpoint_url: must have neither the bucket nor a path in it, write "{url}"'
        in done.stderr
    )


def test_dev(start: Start, store: Store, authority: Authority) -> None:
    """A public bucket of a store of one's own is watched without any credentials."""
    url = store.endpoint_url
    flags = (
        "--endpoint-url",
        url,
        "--anonymous",
        "--endpoint-ca",
        f"{url}={authority.certificate}",
    )
    program = start(
        "dev", f"s3://{BUCKET}", "--poll-interval", "1s", "--existing", "report", *flags
    )
    program.ready()
    assert not any("authorization" in request.headers for request in store.log)


def test_a_file_that_is_missing(run: Run) -> None:
    done = run("serve", "--endpoint-ca", "https://minio.example=/no/ca.pem")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "/no/ca.pem: the file of the authorities cannot be read: No such file" in done.stderr
