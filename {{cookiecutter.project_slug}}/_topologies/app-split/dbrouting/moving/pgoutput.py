"""Which rows were written, as PostgreSQL's output plugin pgoutput tells it; what was written there is skipped.

Protocol version 1: https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

ENCODING = "utf-8"


class Written(NamedTuple):
    """A row of the table with this number; without a key it may be any, or all."""

    table: int
    key: tuple[str, ...] | None


class Commit(NamedTuple):
    """The end of a transaction, as a position in the log."""

    end: str


class Mark(NamedTuple):
    """What somebody wrote into the log itself."""

    text: str


class Decoder:
    """For one reading of a slot, which describes each table before its first row."""

    def __init__(self, keys: Mapping[int, Sequence[str]]) -> None:
        """``keys`` are the columns that tell rows apart, by the number of their table."""
        self._keys = keys
        self._places: dict[int, list[int]] = {}

    def decode(self, data: bytes) -> Iterator[Written | Commit | Mark]:
        message = Message(data)
        match message.text(1):
            case "R":
                self._describe(message)
            case "I" | "U" | "D":
                yield from self._rows(message)
            case "T":
                count, _options = message.number(4), message.number(1)
                yield from (Written(message.number(4), None) for _ in range(count))
            case "C":
                _flags, _start, end = message.number(1), message.number(8), message.number(8)
                yield Commit(f"{end >> 32:X}/{end & 0xFFFFFFFF:X}")
            case "M":
                _flags, _position, _prefix = message.number(1), message.number(8), message.name()
                yield Mark(message.text(message.number(4)))

    def _describe(self, message: "Message") -> None:
        table, _schema, _name, _identity = message.number(4), message.name(), message.name(), message.text(1)
        columns = []
        for _ in range(message.number(2)):
            _flags, name, _type, _modifier = message.number(1), message.name(), message.number(4), message.number(4)
            columns.append(name)
        self._places[table] = [columns.index(column) for column in self._keys.get(table, ())]

    def _rows(self, message: "Message") -> Iterator[Written]:
        """The row as it was, if its key is told to have been another, and as it is."""
        table = message.number(4)
        before: list[str | None] = []
        while message.has_more():
            _which, values = message.text(1), message.values()
            key = [values[place] for place in self._places[table]]
            if before:  # a long value that stayed as it was is told there only
                key = [new if new is not None else old for new, old in zip(key, before, strict=True)]
            told = tuple(value for value in key if value is not None)
            yield Written(table, told if len(told) == len(key) else None)
            before = key


class Message:
    """Bytes, read from the left."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def has_more(self) -> bool:
        return self._at < len(self._data)

    def number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def text(self, size: int) -> str:
        return self._take(size).decode(ENCODING)

    def name(self) -> str:
        name = self.text(self._data.index(0, self._at) - self._at)
        self._at += 1
        return name

    def values(self) -> list[str | None]:
        """A row's; ``None`` also for what is not told."""
        return [self.text(self.number(4)) if self.text(1) == "t" else None for _ in range(self.number(2))]

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken
