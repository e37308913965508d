"""Tickets that note what becomes of a message."""


class NotedTicket:
    """A ticket of a message.

    Attributes:
        outcomes: What it was notified of, in order: ``done`` or ``failed``.
    """

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def done(self) -> None:
        self.outcomes.append("done")

    def fail(self) -> None:
        self.outcomes.append("failed")
