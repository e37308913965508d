"""What the event loop logs when there are no file descriptors left."""

import asyncio
import errno
from typing import Any

from structlog.testing import capture_logs

from watcher.limits.file_descriptors import LOG_INTERVAL_S, LoopExceptionHandler


class Loop(asyncio.SelectorEventLoop):
    """An event loop at a given time, which keeps what reaches its default handler."""

    now_s = 5.0

    def __init__(self) -> None:
        self.defaults: list[dict[str, Any]] = []
        super().__init__()

    def time(self) -> float:
        return self.now_s

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.defaults.append(context)


def test_a_lack_of_descriptors_is_logged_once_a_minute() -> None:
    loop, handle = Loop(), LoopExceptionHandler()
    try:
        with capture_logs() as log:
            for number in (errno.EMFILE, errno.ENFILE, errno.EMFILE):
                handle(loop, {"exception": OSError(number, "no more")})
            loop.now_s += LOG_INTERVAL_S
            handle(loop, {"exception": OSError(errno.EMFILE, "no more")})
        assert [line["event"] for line in log] == ["server.exhausted"] * 2
        for other in ({"exception": OSError(errno.EPIPE, "gone")}, {"message": "never awaited"}):
            handle(loop, other)
            assert loop.defaults.pop() is other
        assert not loop.defaults
    finally:
        loop.close()
