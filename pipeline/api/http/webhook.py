"""A message to a webhook, in the form Slack and its likes take: ``{"text": ...}``.

The URL is a secret: whoever has it can write to the channel. The messages of ``requests`` quote it
and are therefore not passed on.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import requests

from pipeline.errors import PipelineError

_CONNECT_S, _READ_S = 5.0, 10.0


def check_url(url: str) -> None:
    """Refuse what cannot be a webhook.

    Raises:
        PipelineError: it is no http or https URL; the text does not quote it.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise PipelineError("webhook: the address is no http or https URL", "set G5_WEBHOOK_URL")


def post(url: str, text: str) -> int:
    """Send a text; the HTTP status of the answer.

    Raises:
        PipelineError: it was not accepted; the text does not quote the URL.
    """
    check_url(url)
    try:
        answer = requests.post(
            url, json={"text": text}, timeout=(_CONNECT_S, _READ_S), allow_redirects=False
        )
    except (requests.RequestException, ValueError, OSError) as error:
        raise PipelineError(f"webhook: no answer ({type(error).__name__})") from None
    if not 200 <= answer.status_code < 300:
        raise PipelineError(f"webhook: HTTP {answer.status_code}")
    return answer.status_code
