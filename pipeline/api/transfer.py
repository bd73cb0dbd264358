"""One attempt at a file behind a presigned URL: no key, no budget, bytes kept when it breaks.

Such a URL is a secret for as long as it lives, and so are the signatures in its query: neither is
named in an error or a log, ours or the HTTP library's.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3
from requests import PreparedRequest

from pipeline.api.credentials import is_loopback
from pipeline.api.faults import Transient
from pipeline.api.session import ApiSession, broken
from pipeline.errors import StorageError

_PIECE_BYTES = 1 << 18
_RANGE_START = re.compile(r"bytes (\d+)-")


class UrlSpent(Transient):
    """The URL is refused: it was used before, its time is over, or it never was good."""


class _HideQueries(logging.Filter):
    """Cuts the queries off the URLs in records of the HTTP library."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                argument.partition("?")[0] if isinstance(argument, str) else argument
                for argument in record.args
            )
        return True


for _name in ("urllib3.connectionpool", "urllib3.connection"):
    logging.getLogger(_name).addFilter(_HideQueries())


class Transfer:
    """The way of one URL into one file; remembers which version of the file it began.

    Args:
        session: for its connections, patience and clock; its key stays where it is.
        partial: what has come so far; absent or from an earlier transfer.
    """

    def __init__(self, session: ApiSession, partial: Path) -> None:
        self._session = session
        self._partial = partial
        self._version = ""  # ETag

    def attempt(self, url: str) -> None:
        """Fetches what ``partial`` lacks, or all of it where the server cannot continue.

        Raises:
            UrlSpent: ask for another URL.
            Transient: no whole answer; what came is kept.
            StorageError: the disk refused.
        """
        have = self._partial.stat().st_size if self._partial.exists() else 0
        # The file is compressed already; another encoding would only shift the byte positions.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self._version:
                headers["If-Range"] = self._version
        try:
            with self._session.files.get(
                _checked(url),
                headers=headers,
                auth=_nobody,
                timeout=(self._session.timeouts.connect_s, self._session.timeouts.read_s),
                stream=True,
            ) as response:
                self._keep(response, have)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # Without the cause: it holds the URL.
            raise Transient(broken(error)) from None
        except OSError as error:
            raise StorageError(
                f"{self._partial}: cannot be written: {error.strerror}",
                "check the disk and the folder, then run again",
            ) from error

    def _keep(self, response: requests.Response, have: int) -> None:
        status = response.status_code
        if status == 416:
            self._partial.unlink(missing_ok=True)
            raise Transient("what was kept is not a part of this file", status)
        if 400 <= status < 500:
            raise UrlSpent("download URL refused", status)
        if status not in (200, 206):
            raise Transient("server fault", status)
        if status == 206 and _start(response) != have:
            self._partial.unlink(missing_ok=True)
            raise Transient("another range than asked for", status)
        self._version = response.headers.get("ETag", "")
        self._write(response, "ab" if status == 206 else "wb")

    def _write(self, response: requests.Response, mode: str) -> None:
        clock, patience = self._session.clock, self._session.timeouts.total_s
        deadline = clock.now() + patience
        with self._partial.open(mode) as file:
            while piece := response.raw.read1(_PIECE_BYTES, decode_content=False):
                file.write(piece)
                if clock.now() > deadline:
                    raise Transient(f"file not complete within {patience:g} s")
            file.flush()
            os.fsync(file.fileno())


def _start(response: requests.Response) -> int | None:
    found = _RANGE_START.match(response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _checked(url: str) -> str:
    """``url``, if nobody on the way could exchange the file."""
    if urlsplit(url).scheme != "https" and not is_loopback(url):
        raise UrlSpent("download URL: expected https")
    return url


def _nobody(request: PreparedRequest) -> PreparedRequest:
    """No credentials, not even those a .netrc file has for the host."""
    return request
