"""Brute-force reference of the feature catalogue: one value at a time, straight from its row.

Nothing here is shared with the package under test. Start reading at ``brute.py``.
"""
