"""A small client of the simulator, for tests."""

from __future__ import annotations

from datetime import datetime

import requests

from pipeline.simulator import AppOptions, serving
from pipeline.simulator.server.publication_clock import JST

KEY = {"x-api-key": "simulator"}


class Client:
    """Requests to one server."""

    def __init__(self, base_url):
        self.base_url = base_url
        self.root = base_url.removesuffix("/v2")
        self.session = requests.Session()
        self.session.headers.update(KEY)

    def get(self, path, **params):
        """The answer; a trailing _ of a parameter's name is not sent."""
        params = {name.rstrip("_"): value for name, value in params.items()}
        return self.session.get(self.base_url + path, params=params, timeout=20)

    def rows(self, path, **params):
        answer = self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def message(self, path, **params):
        """Status and text of a refusal."""
        answer = self.get(path, **params)
        body = answer.json()
        assert list(body) == ["message"]
        return answer.status_code, body["message"]

    def statuses(self, path, times, **params):
        return [self.get(path, **params).status_code for _ in range(times)]

    def stats(self):
        return requests.get(self.root + "/_sim/stats", timeout=20).json()

    def set_faults(self, *faults):
        """Replace the faults; returns those in force."""
        answer = requests.post(self.root + "/_sim/faults", json=faults, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()


def serve(market, **options):
    return serving(market, AppOptions(**options))


def at(text):
    """An instant in Tokyo."""
    return datetime.fromisoformat(text).replace(tzinfo=JST)
