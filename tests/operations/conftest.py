"""Tests of operations look at the finished build of the tests of tasks."""

from tests.tasks.conftest import api, built, first_run  # noqa: F401  (fixtures)
