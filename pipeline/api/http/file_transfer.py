"""One attempt at a file behind a presigned URL: no key, no budget, bytes kept when it breaks.

Such a URL is a secret for as long as it lives, and so are the signatures in its query: neither is
named in an error or a log, ours or the HTTP library's.

What a URL and the redirects behind it may name: any host by https. This machine, by http as well,
only when the API itself is on this machine; another address that is not public (private, link
local and the like) only when it is the API's own host or the API is on this machine. Names are
not looked up: what https reaches has to have a certificate for the name.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import unicodedata
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests import PreparedRequest

from pipeline.api.http.client import ApiSession, broken
from pipeline.api.http.credentials import is_loopback
from pipeline.api.http.deadline import Deadline
from pipeline.api.http.retry import Transient
from pipeline.errors import StorageError

_PIECE_BYTES = 1 << 18
_MOST_REDIRECTS = 3
_RANGE_START = re.compile(r"bytes (\d+)-")
#: The end of an IPv4 address however it is spelt (127.1, 0x7f000001); no top-level domain is one.
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.IGNORECASE)


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
        size: announced bytes of the whole file; never more than one byte beyond is written.
    """

    def __init__(self, session: ApiSession, partial: Path, size: int) -> None:
        self._session = session
        self._partial = partial
        self._size = size
        self._version = ""  # ETag

    def attempt(self, url: str) -> None:
        """Fetches what ``partial`` lacks, or all of it where the server cannot continue.

        Raises:
            UrlSpent: ask for another URL.
            Transient: no whole answer; what came is kept.
            StorageError: the disk refused.
        """
        have = self._partial.stat().st_size if self._partial.exists() else 0
        if have > self._size:
            self._partial.unlink()
            have = 0
        # The file is compressed already; another encoding would only shift the byte positions.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self._version:
                headers["If-Range"] = self._version
        patience = self._session.timeouts
        deadline = Deadline(patience.total_s + (self._size - have) / patience.slowest_bytes_per_s)
        try:
            with deadline:
                self._follow(url, headers, have)
        except (requests.RequestException, urllib3.exceptions.HTTPError, TimeoutError) as error:
            # Without the cause: it holds the URL.
            late = f"file not complete within {deadline.seconds:.1f} s"
            raise Transient(late if deadline.over else broken(error)) from None
        except OSError as error:
            raise StorageError(
                f"{self._partial}: cannot be written: {error.strerror}",
                "check the disk and the folder, then run again",
            ) from error

    def _follow(self, url: str, headers: dict[str, str], have: int) -> None:
        """Gets the file; every redirect has to keep the rules of the first URL."""
        session = self._session
        for _ in range(_MOST_REDIRECTS + 1):
            if fault := _fault(url, session.base_url):
                raise UrlSpent(f"download URL: {fault}")
            with session.files.get(
                url,
                headers=headers,
                auth=_nobody,
                timeout=(session.timeouts.connect_s, session.timeouts.read_s),
                stream=True,
                allow_redirects=False,
            ) as response:
                target = self._target(response)
                if target is None:
                    self._keep(response, have)
                    return
            url = target
        raise UrlSpent(f"download URL: more than {_MOST_REDIRECTS} redirects")

    def _target(self, response: requests.Response) -> str | None:
        """Where a redirect leads; None for another answer."""
        try:
            target = self._session.files.get_redirect_target(response)
            return None if target is None else urljoin(response.url, target)
        except ValueError:  # not UTF-8, or brackets around no address
            raise UrlSpent("download URL: expected a URL in a redirect") from None

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
        self._write(response, have if status == 206 else 0)

    def _write(self, response: requests.Response, have: int) -> None:
        with self._partial.open("ab" if have else "wb") as file:
            while piece := response.raw.read1(
                min(_PIECE_BYTES, self._size + 1 - have), decode_content=False
            ):
                file.write(piece)
                have += len(piece)
                if have > self._size:
                    break
            file.flush()
            os.fsync(file.fileno())
        if have > self._size:
            self._partial.unlink()
            raise Transient(f"size: expected {self._size} bytes, got more", 200, garbled=True)


def _start(response: requests.Response) -> int | None:
    found = _RANGE_START.match(response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _fault(url: str, api: str) -> str:
    """Why nothing is fetched from ``url``, when ``api`` is where the API is; "" when it may be."""
    try:
        parts, host = urlsplit(url), urlsplit(url).hostname or ""
    except ValueError:
        return "expected a URL"
    if is_loopback(api) and is_loopback(url) and parts.scheme in ("http", "https"):
        return ""
    # Backslashes, blanks and the like are read in more than one way.
    if parts.scheme != "https" or not host or any(c <= " " or c == "\\" for c in url):
        return "expected https"
    if _is_public(host) or is_loopback(api) or host == urlsplit(api).hostname:
        return ""
    return "expected a public host, got an address of this machine or network"


def _is_public(host: str) -> bool:
    """False for addresses that are not or are spelt oddly, and for names of this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        last = unicodedata.normalize("NFKC", host).rstrip(".").rpartition(".")[2]
        return last != "localhost" and _NUMBER.fullmatch(last) is None
    return (getattr(address, "ipv4_mapped", None) or address).is_global


def _nobody(request: PreparedRequest) -> PreparedRequest:
    """No credentials, not even those a .netrc file has for the host."""
    return request
