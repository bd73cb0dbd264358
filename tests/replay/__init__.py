"""Consecutive mornings of daily updates against one bulk build of the same days.

``python -m tests.replay`` runs as many mornings as asked for; ``test_replay.py`` a few. The exchange
is a real server that knows every morning only what is out by then, and corrects some of its
records later. In the end both datasets have the same values, or a correction explains the
difference: :mod:`.corrected` finds the corrections, :mod:`.explain` holds differences against them.
"""
