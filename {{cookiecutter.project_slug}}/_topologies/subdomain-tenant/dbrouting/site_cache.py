"""Whose site is at a host, remembered by this process for some seconds: most requests ask nobody.

While the shared database can't be asked, what is remembered is good for some seconds more: for so long a suspension,
a removal or a change of hosts that was just made is unknown, and not longer.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from django.conf import settings
from django.db import InterfaceError, OperationalError

from dbrouting.tenant_context import TenantLike

logger = logging.getLogger(__name__)

# Hosts of sites, and as many hosts without one: who asks for ever new names pushes out no site.
SIZE = 10_000
# How long nobody asks again where somebody was not answered: to be refused may take seconds, for each request.
PAUSE = 1


class Found(TenantLike, Protocol):
    """What ``settings.TENANT_LOOKUP`` finds for a host."""

    @property
    def closed(self) -> str:
        """Why its site can't be visited, for the visitor; empty if it can."""

    @property
    def reopens(self) -> bool:
        """Whether a closed one is to open again by itself, so that a visitor may try again soon."""


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

    def get(self, host: str, *, grace: float = 0) -> Answer | None:
        """The latest answer, unless it expired more than ``grace`` seconds ago."""
        answer = self._sites.get(host) or self._nobodys.get(host)
        return answer if answer and time.monotonic() < answer.expires + grace else None

    def put(self, host: str, found: Found | None, times_cleared: int) -> Answer:
        """Remember ``found``, at the expense of the oldest answer of its kind if there are too many.

        Not if the cache was emptied since who looked it up began: it may be what was before.
        """
        answer = Answer(found, time.monotonic() + settings.TENANT_LOOKUP_SECONDS)
        with self._lock:
            if times_cleared != self.times_cleared:
                return answer
            self._sites.pop(host, None)
            self._nobodys.pop(host, None)
            answers = self._nobodys if found is None else self._sites
            if len(answers) >= SIZE:
                del answers[next(iter(answers))]
            answers[host] = answer
        return answer

    def clear(self) -> None:
        with self._lock:
            self.times_cleared += 1
            self._sites.clear()
            self._nobodys.clear()


class Outage:
    """Whether the lookup fails just now. It is told when that begins and when it ends, not for each request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ask_again: float | None = None

    def has_pause(self) -> bool:
        """Whether there is no point in asking yet. After the pause one request tries, and it begins anew."""
        with self._lock:
            if self._ask_again is None:
                return False
            if time.monotonic() < self._ask_again:
                return True
            self._ask_again = time.monotonic() + PAUSE
            return False

    def begin(self, error: Exception) -> None:
        with self._lock:
            was_known, self._ask_again = self._ask_again is not None, time.monotonic() + PAUSE
        if not was_known:
            logger.error(
                "Whose site is at a host can't be asked. For %g seconds the sites that were just visited are served as "
                "they were, and at other hosts the answer is 503: %s",
                settings.TENANT_STALE_SECONDS,
                " ".join(str(error).split()),
            )

    def end(self) -> None:
        with self._lock:
            was_known, self._ask_again = self._ask_again is not None, None
        if was_known:
            logger.warning("Whose site is at a host can be asked again.")


sites = SiteCache()
outage = Outage()


def ask(look_up: Callable[[list[str]], Found | None], hosts: list[str]) -> Answer | None:
    """The answer of ``look_up``, which is remembered; if it fails the last one, and ``None`` if that is too old."""
    times_cleared = sites.times_cleared
    if not outage.has_pause():
        try:
            found = look_up(hosts)
        except (OperationalError, InterfaceError) as error:
            outage.begin(error)
        else:
            outage.end()
            return sites.put(hosts[0], found, times_cleared)
    return sites.get(hosts[0], grace=settings.TENANT_STALE_SECONDS)
