"""A request the server answers with an error body."""

from __future__ import annotations

from pipeline.errors import PipelineError


class RefusalError(PipelineError):
    """The answer is ``{"message": ...}`` with this status.

    Attributes:
        status: HTTP status, 400 or above.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
