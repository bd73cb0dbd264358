"""Random numbers that depend on their purpose, never on the order of calls."""

from __future__ import annotations

from zlib import crc32

import numpy as np


def stream(seed: int, purpose: str, *keys: int) -> np.random.Generator:
    """A generator of its own for one purpose and key, say "prices" and a session's ordinal.

    The number of values drawn from one stream must not depend on the end of the market.
    """
    entropy = np.random.SeedSequence([seed, crc32(purpose.encode()), *keys])
    return np.random.Generator(np.random.SFC64(entropy))
