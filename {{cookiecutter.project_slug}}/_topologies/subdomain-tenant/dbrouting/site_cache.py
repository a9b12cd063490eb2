"""Whose site is at a host, remembered by this process for some seconds: most requests ask nobody."""

import threading
import time
from typing import NamedTuple, Protocol

from django.conf import settings

from dbrouting.tenant_context import TenantLike

# Hosts of sites, and as many hosts without one: who asks for ever new names pushes out no site.
SIZE = 10_000


class Found(TenantLike, Protocol):
    """What ``settings.TENANT_LOOKUP`` finds for a host."""

    @property
    def closed(self) -> str:
        """Why its site can't be visited, for the visitor; empty if it can."""


class Answer(NamedTuple):
    """``found`` is ``None`` where there is no site."""

    found: Found | None
    expires: float


class SiteCache:
    """The latest answers of the lookup. What changes a site empties it here; other processes know a little later."""

    def __init__(self) -> None:
        self.times_cleared = 0
        self._lock = threading.Lock()
        self._sites: dict[str, Answer] = {}
        self._nobodys: dict[str, Answer] = {}

    def get(self, host: str) -> Answer | None:
        answer = self._sites.get(host) or self._nobodys.get(host)
        return answer if answer and time.monotonic() < answer.expires else None

    def put(self, host: str, found: Found | None, times_cleared: int) -> None:
        """Remember ``found``, at the expense of the oldest answer of its kind if there are too many.

        Not if the cache was emptied since who looked it up began: it may be what was before.
        """
        answer = Answer(found, time.monotonic() + settings.TENANT_LOOKUP_SECONDS)
        with self._lock:
            if times_cleared != self.times_cleared:
                return
            self._sites.pop(host, None)
            self._nobodys.pop(host, None)
            answers = self._nobodys if found is None else self._sites
            if len(answers) >= SIZE:
                del answers[next(iter(answers))]
            answers[host] = answer

    def clear(self) -> None:
        with self._lock:
            self.times_cleared += 1
            self._sites.clear()
            self._nobodys.clear()


sites = SiteCache()
