"""Where the API is and who asks: checked once, and the key kept out of sight."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.auth import AuthBase

from pipeline.errors import UsageError


class ApiKey(AuthBase):
    """The account's key; it enters a request when that is prepared, and nothing else.

    Raises:
        UsageError: empty, or not printable ASCII without blanks.
    """

    def __init__(self, key: str) -> None:
        # The HTTP library would repeat a malformed key in its own error text.
        if not key or not all("!" <= letter <= "~" for letter in key):
            raise UsageError("JQUANTS_API_KEY: expected printable characters without blanks")
        self.__key = key

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["x-api-key"] = self.__key
        return request

    def __repr__(self) -> str:
        return "ApiKey(hidden)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("an API key is not written anywhere; pass it by the environment")

    def hide(self, text: str) -> str:
        """``text`` without the key, should a server repeat it."""
        return text.replace(self.__key, "(key)")


def is_loopback(url: str) -> bool:
    """True when ``url`` points at this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_base_url(url: str) -> str:
    """``url`` without a trailing slash.

    Raises:
        UsageError: not a plain http(s) URL, or one that would send the key unencrypted.
    """
    parts = urlsplit(url)
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise UsageError("JQUANTS_API_BASE: expected a URL like https://api.jquants.com/v2")
    if parts.scheme == "http" and not is_loopback(url):
        raise UsageError(
            f"JQUANTS_API_BASE: the key would travel to {parts.hostname} unencrypted", "use https"
        )
    return url.rstrip("/")
