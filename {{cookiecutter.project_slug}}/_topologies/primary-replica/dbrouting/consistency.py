"""How far a write has come, told by the servers' own positions, and carried from one request of a client to the next.

A position is an LSN or a set of GTIDs. It travels in a signed token, so that nobody can send all their reads to the
primary, or skip what they wrote.
"""

import logging
from collections import Counter
from typing import NamedTuple

from django.conf import settings
from django.core.signing import BadSignature, SignatureExpired, TimestampSigner

logger = logging.getLogger(__name__)
# Tokens that were of no use, by what was wrong with them, since this process began.
ignored: Counter[str] = Counter()


class Position(NamedTuple):
    """What a server has written or replayed: in each of its ``streams`` all up to a number.

    ``cluster`` says whose numbers they are: those of another compare well and mean nothing.
    """

    cluster: str
    streams: tuple[tuple[str, int], ...]

    def covers(self, other: "Position") -> bool:
        """Whether all of ``other`` is here."""
        reached = dict(self.streams)
        return self.cluster == other.cluster and all(reached.get(name, -1) >= number for name, number in other.streams)

    def merged(self, older: "Position | None") -> "Position":
        """The further one of both in each stream; a new cluster's alone."""
        if older is None or older.cluster != self.cluster:
            return self
        streams = dict(older.streams)
        for name, number in self.streams:
            streams[name] = max(number, streams.get(name, number))
        return Position(self.cluster, tuple(sorted(streams.items())))

    def __str__(self) -> str:
        """Of letters that a cookie takes unquoted."""
        return "|".join([self.cluster, *(f"{name}+{number}" for name, number in self.streams)])

    @classmethod
    def parse(cls, text: str) -> "Position":
        """The inverse of ``str``; ValueError if it isn't one."""
        cluster, *streams = text.split("|")
        pairs = (stream.rpartition("+") for stream in streams)
        return cls(cluster, tuple((name, int(number)) for name, _, number in pairs))


# The token of a write on a server that tells no positions: all that is known is when it was.
UNKNOWN = Position("", ())


def signer() -> TimestampSigner:
    return TimestampSigner(salt=__name__)


def token_of(position: Position) -> str:
    return signer().sign(str(position))


def read_token(token: str) -> Position | None:
    """The position in ``token``; ``None`` if it is over, or if it isn't ours: that is logged, and no error."""
    try:
        position = Position.parse(signer().unsign(token))
        seconds = settings.PRIMARY_PIN_SECONDS if position == UNKNOWN else settings.PRIMARY_PIN_COOKIE_AGE
        signer().unsign(token, max_age=seconds and seconds + 1)  # the signature's time has no fractions
    except SignatureExpired:
        ignore("expired", logging.DEBUG)
    except BadSignature:
        ignore("forged or truncated", logging.WARNING)
    except ValueError:
        ignore("malformed", logging.WARNING)
    else:
        return position
    return None


def ignore(fault: str, level: int) -> None:
    ignored[fault] += 1
    logger.log(level, "A client's token of its last write is %s: ignored, as %d before.", fault, ignored[fault] - 1)
