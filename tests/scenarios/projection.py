"""Writes keys of a projected volume, given VOLUME VERSION KEY=CONTENT… on its command line.

A process of its own, since a watch waits for half a second between the directory of a version and
the link to it: in one with other scenarios a writer may be halted for longer.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path


def project(root: Path, version_name: str, keys: Sequence[str]) -> None:
    """Write with the calls of Kubernetes' AtomicWriter, in order."""
    former = (root / "..data").readlink() if (root / "..data").is_symlink() else None
    version = root / version_name
    version.mkdir(0o755)
    for key in keys:
        name, _, content = key.partition("=")
        (version / name).parent.mkdir(parents=True, exist_ok=True)
        (version / name).write_text(content)
        (version / name).chmod(0o644)
    (root / "..data_tmp").symlink_to(version.name)
    (root / "..data_tmp").rename(root / "..data")
    tops = dict.fromkeys(key.partition("=")[0].partition("/")[0] for key in keys)
    for top in tops:
        if not (root / top).is_symlink():
            (root / top).symlink_to(f"..data/{top}")
    for name in os.listdir(root):  # noqa: PTH208 - names only
        if not name.startswith("..") and name not in tops:
            (root / name).unlink()
    if former is not None:
        shutil.rmtree(root / former)


if __name__ == "__main__":
    project(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
