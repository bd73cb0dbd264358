"""A request the server answers with an error body."""

from __future__ import annotations

from pipeline.errors import PipelineError


class RefusalError(PipelineError):
    """The answer is ``{"message": ...}`` with this status.

    Attributes:
        status: HTTP status, 400 or above.
        headers: names and values to send besides the usual ones.
    """

    def __init__(
        self, status: int, message: str, *, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


def not_in_plan() -> RefusalError:
    """The endpoint, or a part of it, needs a higher plan."""
    return RefusalError(403, "This API is not available on your subscription.")
