"""``watcher check`` as its users run it."""

import json
import re
from pathlib import Path

from support.program import Run
from support.s3.real_servers import S3Server

SHOWN = """\
matching   2 (6 B)
left out   1 by include and exclude
first      a.csv
           ready
"""


def test_check(run: Run, config: Path, place: Path, tmp_path: Path) -> None:
    """What matches, what is left out and the mode; nothing is written."""
    (place / "a.csv").write_text("12345")
    (place / "b.txt").write_text("1")
    before = sorted(tmp_path.rglob("*"))
    done = run("check", config)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"the configuration is valid", *SHOWN.splitlines()} <= {*done.stdout.splitlines()}
    assert re.search(r"^mode       (notify|poll) \(.+\)$", done.stdout, re.MULTILINE)
    assert sorted(tmp_path.rglob("*")) == before
    survey = json.loads(run("check", "--json", "-", stdin=config.read_text()).stdout)
    expected = {"matching": 2, "left_out": 1, "size": 6, "first": ["a.csv", "ready"], "cost": None}
    assert survey.items() >= expected.items()


def test_check_counts_what_patterns_miss(run: Run, place: Path) -> None:
    """For its case, or its normal form; both are matched without case."""
    for name in ("a.csv", "B.CSV", "re\u0301sume\u0301"):
        (place / name).touch()
    patterns = "include: ['*.csv', 're:^r\u00e9sum\u00e9$']\n"
    text = f"directory: {place}\n{patterns}"
    lines = run("check", "-", stdin=text).stdout.splitlines()
    form = "1 name matches only when composed; write the pattern both ways, or set"
    assert f"composed   {form} match_case: false" in lines
    case = "1 name matches only in another case; match_case: false takes no account of it"
    assert f"case       {case}" in lines
    assert "matching   3 (0 B)" in run("check", "-", stdin=f"{text}match_case: false").stdout


def test_check_bucket(run: Run, moto_server: S3Server) -> None:
    bucket = moto_server.make_bucket()
    moto_server.put_many(bucket, ["a.csv", "b.txt"])
    url = moto_server.endpoint_url
    text = f"s3: {{bucket: {bucket}, endpoint_url: '{url}', poll_interval: 1m}}\ninclude: ['*.csv']"
    done = run("check", "-", stdin=text, **moto_server.environment())
    assert (done.returncode, done.stderr) == (0, "")
    assert "requests   1 for one listing, every 60 s: 43,200 in 30 days" in done.stdout
    assert "cost       $0.22 in 30 days for 43,200 LIST requests" in done.stdout
    assert "AWS in us-east-1; other stores differ" in done.stdout


def test_check_bucket_without_versioning(run: Run, moto_server: S3Server) -> None:
    """What the source logs, and the survey says, is not in the way of the result."""
    bucket, url = moto_server.make_bucket(), moto_server.endpoint_url
    text = f"s3: {{bucket: {bucket}, endpoint_url: '{url}', versions: true}}"
    done = run("check", "--json", "-", stdin=text, **moto_server.environment())
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["remark"].startswith("versioning is off in the bucket")


def test_check_with_a_profile_and_no_home(run: Run, moto_server: S3Server, tmp_path: Path) -> None:
    """As in a container: the AWS configuration is a mounted file, and there is no home."""
    bucket, keys = moto_server.make_bucket(), moto_server.environment()
    lines = ("[profile mounted]", *(f"{name.lower()} = {value}" for name, value in keys.items()))
    (tmp_path / "config").write_text("\n".join(lines))
    text = f"s3: {{bucket: {bucket}, endpoint_url: '{moto_server.endpoint_url}', profile: mounted}}"
    variables = {"HOME": "/nonexistent", "AWS_CONFIG_FILE": str(tmp_path / "config")}
    done = run("check", "-", stdin=text, **variables)
    assert (done.returncode, done.stderr) == (0, "")


def test_check_refuses(run: Run, tmp_path: Path) -> None:
    """One line for a wrong configuration or a missing place, which --offline does not read."""
    missing = f"directory: {tmp_path}/no\n"
    unknown = 'line 2, included: unknown key, did you mean "include"?'
    for text, message in (("directory: /x\nincluded: []\n", unknown), (missing, "/no")):
        done = run("check", "-", stdin=text)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert message in done.stderr
    assert run("check", "--offline", "-", stdin=missing).returncode == 0
