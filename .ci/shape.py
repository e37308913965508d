"""Prints the shape of a checkout, to compare two versions: python .ci/shape.py [CHECKOUT].

It has modules, import floors, circles, lengths, and the modules that one change crosses. Run it
with the Python of that checkout's environment.
"""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

TRACED = """
import os, runpy, signal, sys, threading
seen = set()
def note(frame, event, _):
    if event == "call":
        name = frame.f_globals.get("__name__", "")
        if name.startswith("watcher"):
            seen.add(name)
def dump(*_):
    with open(os.environ["SEEN"], "w") as file:
        file.write("\\n".join(sorted(seen)))
    os.rename(os.environ["SEEN"], os.environ["SEEN"] + ".done")
    seen.clear()
signal.signal(signal.SIGUSR1, dump)
threading.setprofile(note)
sys.setprofile(note)
sys.argv = ["watcher", "serve", "--listen", "127.0.0.1:0", "--http", "", "--log-format", "json"]
sys.argv += ["--state", os.environ["STATE"]]
runpy.run_module("watcher", run_name="__main__")
"""


def main() -> None:
    """Print everything about one checkout."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    os.chdir(root)
    sys.path.insert(0, str(root))
    lines("watcher", root / "watcher")
    lines("tests", root / "tests")
    print(f"README: {len((root / 'README.md').read_text().splitlines())} lines")
    lengths(root / "watcher")
    graph = grimp.build_graph("watcher", cache_dir=None)
    modules = sorted(m for m in graph.modules if "_proto" not in m)
    top = [m for m in modules if m.count(".") == 1 and not graph.find_children(m)]
    rooms = [m for m in modules if m.count(".") == 1 and graph.find_children(m)]
    print(f"modules: {len(modules)}, at the top level {len(top)}, rooms {len(rooms)}")
    imports = {m: graph.find_modules_directly_imported_by(m) & set(modules) for m in modules}
    circles, chain = order(imports)
    print(f"import floors (longest chain): {len(chain)}: {' > '.join(short(chain))}")
    print(f"import circles: {len(circles)} {circles or ''}")
    for what, crossed in crossings(root).items():
        print(f"modules that {what} crosses: {len(crossed)}: {' '.join(short(crossed))}")


def short(modules: list[str]) -> list[str]:
    """Return the names of modules without the package."""
    return [module.removeprefix("watcher.") for module in modules]


def lines(name: str, folder: Path) -> None:
    """Print how many lines of Python a folder has."""
    files = [file for file in folder.rglob("*.py") if "_proto" not in file.parts]
    total = code = 0
    for file in files:
        text = file.read_text(encoding="utf-8")
        total += len(text.splitlines())
        code += code_lines(text)
    print(f"{name}: {len(files)} files, {total} lines, {code} without blanks, comments, docstrings")


def code_lines(text: str) -> int:
    """Return how many lines hold code."""
    tree = ast.parse(text)
    prose = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            prose.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return sum(
        1
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.strip().startswith("#") and number not in prose
    )


def lengths(folder: Path) -> None:
    """Print the longest files and functions."""
    files, functions = [], []
    for file in folder.rglob("*.py"):
        if "_proto" in file.parts:
            continue
        text = file.read_text(encoding="utf-8")
        files.append((len(text.splitlines()), str(file.relative_to(folder))))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                functions.append((length, f"{file.relative_to(folder)}:{node.name}"))
    print("longest files:", ", ".join(f"{name} {n}" for n, name in sorted(files)[:-4:-1]))
    print("longest functions:", ", ".join(f"{name} {n}" for n, name in sorted(functions)[:-4:-1]))


def order(imports: dict[str, set[str]]) -> tuple[list[list[str]], list[str]]:
    """Return the circles, and the longest chain of imports without one edge of each."""
    imports = {module: set(others) for module, others in imports.items()}
    circles: list[list[str]] = []
    while True:
        try:
            ordered = list(TopologicalSorter(imports).static_order())
            break
        except CycleError as error:
            circle = error.args[1]
            circles.append(circle)
            # The sorter names each module before the one that imports it.
            imports[circle[1]].discard(circle[0])
    chains: dict[str, list[str]] = {}
    for module in ordered:
        longest = max((chains[other] for other in imports[module]), key=len, default=[])
        chains[module] = [module, *longest]
    return circles, max(chains.values(), key=len)


def crossings(root: Path) -> dict[str, list[str]]:
    """Return the modules that run for one configuration, and for one changed path."""
    sys.path.insert(0, str(root / "tests"))
    import grpc

    from watcher._proto import generic_pb2, generic_pb2_grpc

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        seen = folder / "seen"
        own = {"SEEN": str(seen), "STATE": str(folder / "state"), "PYTHONPATH": str(root)}
        environment = os.environ | own
        server = subprocess.Popen(
            [sys.executable, "-c", TRACED], env=environment, stderr=subprocess.PIPE, text=True
        )

        def collect() -> list[str]:
            server.send_signal(signal.SIGUSR1)
            done = Path(f"{seen}.done")
            while not done.exists():
                assert server.poll() is None, "the server has ended"
                time.sleep(0.05)
            found = done.read_text().split()
            done.unlink()
            return found

        try:
            for line in server.stderr or ():
                if '"server.listening"' in line:
                    address = json.loads(line)["address"]
                    break
            collect()
            with grpc.insecure_channel(address) as channel:
                stub = generic_pb2_grpc.EventingStub(channel)
                config = f"directory: {{path: {folder}/in, mode: notify}}".encode()
                stream = stub.StartEventSource(generic_pb2.EventSource(name="shape", config=config))
                stream.initial_metadata()
                time.sleep(1)
                configuration = collect()
                (folder / "in/a.txt").write_text("a")
                next(stream)
                change = collect()
        finally:
            server.terminate()
            server.wait()
    return {"one configuration": configuration, "one changed path": change}


if __name__ == "__main__":
    main()
