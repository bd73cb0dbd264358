"""The crash harness: real builds that are killed, starved of disk, failed and doubled at random.

``python -m tests.crash`` runs as many trials as asked for; ``test_crash.py`` a few of each kind.
What a reader of the output root is promised meanwhile is written down in :mod:`.reader`, what must
hold afterwards in :mod:`.result`.
"""
