"""Profiles of ``g5 run``: Luigi configuration files, shipped with the package."""
