"""Whose turn it is to keep a core busy.

Threads are many because servers are slow. What they do with an answer, unpacking and parsing, runs
mostly without the interpreter lock, and more threads at it than there are cores only push each
other off them: with 75 on 2 cores everything took a third longer.
"""

from __future__ import annotations

import os
import threading

#: Held while parsing; one place per core.
TURNS = threading.BoundedSemaphore(os.cpu_count() or 1)
