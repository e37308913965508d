"""The chart of 0.1.0 with its server, upgraded to this one while files are written."""

import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from support.client import Contract
from support.project import PROJECT
from system.node.changing import open_directory, survive, values_watching
from system.node.namespace import Namespace
from system.replicas.place import Place
from watcher import __version__

COMMIT = "000e2e4"
"""The last one of 0.1.0."""

SERVER = "/former"
"""Where the pod of 0.1.0 has its server; the libraries are those of our image, which has more."""

VERSION = ("exec", "watcher-0", "--", "python3", "-c", "import watcher; print(watcher.__version__)")

pytestmark = pytest.mark.timeout(900)


def unpack_former(directory: Path) -> Path:
    """Unpack chart and server of 0.1.0, and return their directory."""
    archive = subprocess.run(
        ["git", "archive", COMMIT, "deploy/helm", "watcher"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(directory, filter="data")
    directory.chmod(0o755)
    return directory


def test_an_upgrade_loses_nothing(
    namespace: Namespace,
    contract: Contract,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """The state is kept, the ids go on, and what is written again has the bytes of 0.1.0."""
    former = unpack_former(tmp_path / "former")
    directory = open_directory(tmp_path / "changing")
    namespace.add_claim("watcher-state", open_directory(tmp_path / "state"), is_made=False)
    namespace.add_claim("former", former)
    namespace.add_claim("data", directory)
    values = values_watching(directory)
    own, with_server = tmp_path / "own.json", tmp_path / "with-server.json"
    own.write_text(json.dumps(values))
    claim = {"claimName": "former", "readOnly": True}
    values["volumes"].append({"name": "former", "persistentVolumeClaim": claim})
    values["volumeMounts"].append({"name": "former", "mountPath": SERVER})
    values["extraEnv"] = [{"name": "PYTHONPATH", "value": SERVER}]
    with_server.write_text(json.dumps(values))
    namespace.install(with_server, chart=former / "deploy/helm/watcher")
    assert namespace.run(*VERSION).strip() == "0.1.0"
    with Place(directory, contract, namespace.address(), "notify", clients=1, seed=1) as place:
        survive(place, lambda: namespace.install(own), record_property)
    assert namespace.run(*VERSION).strip() == __version__
