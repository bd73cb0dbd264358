"""``run/account.json``: the plans found for accounts.

No key is stored, only four hexadecimal digits of its keyed digest with a salt of this file: enough
to notice another key, too few to learn anything about it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.filesystem import documents
from pipeline.filesystem.location import on_host

_MOST = 8  # base URLs; one is usual, the simulator has another port each time
_TAG_DIGITS = 4


@dataclass(frozen=True)
class Known:
    """The plan of an account.

    Attributes:
        plan: free, light, standard or premium.
        found_at: the moment of the run that found it out, with offset.
    """

    plan: str
    found_at: dt.datetime


class AccountBook:
    """The known plans of an output root.

    Args:
        root: the output root; the file is created with the first plan.
    """

    def __init__(self, root: Path) -> None:
        self.path = on_host(root) / "run" / "account.json"

    def known(self, base_url: str, key: str) -> Known | None:
        """The plan found for this address and key.

        Args:
            key: of the account; "" when there is none at hand, and any account is meant.
        """
        document = self._read()
        for entry in document["accounts"]:
            same_key = not key or entry["key_tag"] == _tag(document["salt"], key)
            if entry["base_url"] == base_url and same_key:
                return Known(entry["plan"], dt.datetime.fromisoformat(entry["found_at"]))
        return None

    def remember(self, base_url: str, key: str, known: Known) -> None:
        """Keep a plan in place of what was known for this address.

        Raises:
            StorageError: the file system refused.
        """
        document = self._read()
        entry = {
            "base_url": base_url,
            "key_tag": _tag(document["salt"], key),
            "plan": known.plan,
            "found_at": known.found_at.isoformat(timespec="seconds"),
        }
        others = [one for one in document["accounts"] if one["base_url"] != base_url]
        document["accounts"] = [entry, *others][:_MOST]
        documents.write_document(self.path, "account", document)

    def _read(self) -> dict[str, Any]:
        """The document; an empty one if the file is missing or damaged."""
        try:
            return documents.read_document(self.path, "account")
        except PipelineError:
            return {"salt": secrets.token_hex(16), "accounts": []}


def _tag(salt: str, key: str) -> str:
    digest = hmac.new(bytes.fromhex(salt), key.encode("utf-8", "surrogateescape"), hashlib.sha256)
    return digest.hexdigest()[:_TAG_DIGITS]
