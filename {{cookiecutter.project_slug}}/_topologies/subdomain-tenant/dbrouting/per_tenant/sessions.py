"""Sessions in the site's own database, which a copy of that database doesn't know: settings.SESSION_ENGINE.

The site's id is in what a session's row is signed with. A tenant's rows may be copied, by a clone or from a backup, and
the browser of the one may be led to the other: there its session is as unknown as one that has expired. The copied row
stays as it is, and the browser is given another key.
"""

import logging
from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.core import signing

from dbrouting.tenant_context import site_id

logger = logging.getLogger("django.security.SuspiciousSession")


class BoundToSite(db.SessionStore):
    """For a store that keeps sessions in the database, alone or behind a cache."""

    @property
    def key_salt(self) -> str:
        return f"{super().key_salt}.{site_id()}"

    def _get_session_from_db(self) -> Any:
        return self._own(super()._get_session_from_db())  # type: ignore[misc]  # Django's own, without a stub

    async def _aget_session_from_db(self) -> Any:
        return self._own(await super()._aget_session_from_db())  # type: ignore[misc]  # likewise

    def _own(self, row: Session | None) -> Session | None:
        """``row``, if this site signed it. What can't be read must not be written either: its key is forgotten."""
        if row is None:
            return None
        try:
            signing.TimestampSigner(salt=self.key_salt).unsign(row.session_data)
        except signing.BadSignature:
            logger.warning("A session of another site, or a forged one, was presented; it counts as none.")
            self._session_key = None
            return None
        return row


class SessionStore(BoundToSite):
    """Sessions in the database."""


# ``Session.get_decoded()`` and ``Session.objects.encode()`` ask for it, and know Django's own store only.
Session.get_session_store_class = classmethod(lambda cls: SessionStore)  # type: ignore[assignment, method-assign]
