"""Every exception of the package.

One rule for the text: *which thing: what is wrong; expected, got; what to do*, on one line.
Facts stay available as attributes, so that a handler can react to them without parsing text.
No message ever carries an API key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.exit_codes import ExitCode


class PipelineError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: what happened and where, one line.
        hint: what to do next, one line; may be empty.
    """

    exit_code = ExitCode.TASK_FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders (task process -> main process); subclasses have
        # constructors of their own, so the state is restored instead of the call repeated.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(
    kind: type[PipelineError], args: tuple[object, ...], state: Mapping[str, object]
) -> PipelineError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class UsageError(PipelineError):
    """A parameter, configuration value or environment variable is wrong: nothing was started."""

    exit_code = ExitCode.USAGE


class AlreadyRunning(PipelineError):
    """Another run holds the output root."""

    exit_code = ExitCode.ALREADY_RUNNING


class MissingData(PipelineError):
    """Something that should be there before this step is not."""

    exit_code = ExitCode.MISSING_DATA


class Stopped(PipelineError):
    """Somebody asked a running step to end; what it had finished is kept."""


class ApiError(PipelineError):
    """A request to the J-Quants API failed for good.

    Attributes:
        endpoint: path below the base URL.
        params: the query, without paging key; never holds the API key.
        status: HTTP status, or None when no answer came.
        server_message: the server's own words, or "".
    """

    def __init__(
        self,
        endpoint: str,
        params: Mapping[str, str],
        *,
        status: int | None,
        server_message: str,
        hint: str = "",
    ) -> None:
        query = "&".join(f"{k}={v}" for k, v in params.items())
        answer = f"HTTP {status}" if status is not None else "no answer"
        said = f": {server_message}" if server_message else ""
        super().__init__(f"GET {endpoint}{'?' + query if query else ''}: {answer}{said}", hint)
        self.endpoint = endpoint
        self.params = dict(params)
        self.status = status
        self.server_message = server_message


class BadResponse(ApiError):
    """The server answered, but not in the form the endpoint table promises."""


class SnapshotError(PipelineError):
    """What was fetched is not what was asked: the snapshot was not made visible."""


class StorageError(PipelineError):
    """A file of the output tree cannot be read or written, or is not what it claims to be."""


class DamagedFile(StorageError):
    """A file is there and was read, but is not what it claims to be: it has to be made anew."""


class SchemaMismatch(PipelineError):
    """Columns or dtypes differ from the manifest.

    Attributes:
        violations: one line per offender, all of them.
    """

    def __init__(self, what: str, violations: Sequence[str], hint: str = "") -> None:
        shown = "; ".join(violations[:5])
        more = f"; and {len(violations) - 5} more" if len(violations) > 5 else ""
        super().__init__(f"{what}: {len(violations)} schema violations: {shown}{more}", hint)
        self.violations = tuple(violations)
