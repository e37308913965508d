"""A client that may be killed: ``reader.py ADDRESS_FILE METHOD REQUEST_FILE``.

It calls the address in a file, and again whenever the call has ended. It prints a line ``call``
before each call, and each answer as a line of hexadecimal digits before the next is read.
"""

import sys
import time
from pathlib import Path
from typing import Any

import grpc

CALL = "call\n"
PATIENCE_S = 0.2
"""Seconds to wait for another address before the same is called again."""

# The port of a killed server may be given to one that does not allow this client's directory.
RETRIED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED}


def read(address_file: Path, method: str, request: bytes) -> None:
    """Call for ever."""
    address = ""
    while True:
        address = _next_address(address_file, address)
        print(CALL, end="", flush=True)
        with grpc.insecure_channel(address) as channel:
            start: Any = channel.unary_stream(method)
            try:
                for answer in start(request):
                    print(answer.hex(), flush=True)
            except grpc.RpcError as error:
                ending: Any = error
                if ending.code() not in RETRIED:
                    raise


def _next_address(file: Path, last: str) -> str:
    """Return another address than the last as soon as there is one, or the same after a while."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        address = file.read_text()
        if address and (address != last or time.monotonic() >= end_s):
            return address
        time.sleep(0.005)


if __name__ == "__main__":
    read(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).read_bytes())
