"""What PostgreSQL tells of writes during a move is understood."""

import pytest

from dbrouting.moving.pgoutput import Commit, Decoder, Mark, Written
from dbrouting.moving.slots import Snapshot, Sum

# Two tables as PostgreSQL 15 tells of them: with the key (n, place), and with REPLICA IDENTITY FULL.
PLACES, VALUES = 65072, 65079
KEYS = {PLACES: ("n", "place"), VALUES: ("id",)}
DESCRIPTIONS = (
    b"R\x00\x00\xfe0public\x00reca\x00d\x00\x03\x01place\x00\x00\x00\x00\x19\xff\xff\xff\xff"
    b"\x01n\x00\x00\x00\x00\x17\xff\xff\xff\xff\x00note\x00\x00\x00\x00\x19\xff\xff\xff\xff",
    b"R\x00\x00\xfe7public\x00recb\x00f\x00\x02\x01id\x00\x00\x00\x00\x14\xff\xff\xff\xff"
    b"\x01v\x00\x00\x00\x00\x19\xff\xff\xff\xff",
)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        pytest.param(b"B\x00\x00\x00\x00&>\xa9\xe0\x00\x03\x03\xd1$\x14\x00\x82\x00\x00v\xa1", [], id="begin"),
        pytest.param(
            b"I\x00\x00\xfe0N\x00\x03t\x00\x00\x00\x02\xc3\xa4t\x00\x00\x00\x011n",
            [Written(PLACES, ("1", "ä"))],
            id="insert",
        ),
        pytest.param(
            b"U\x00\x00\xfe0N\x00\x03t\x00\x00\x00\x02\xc3\xa4t\x00\x00\x00\x011t\x00\x00\x00\x01x",
            [Written(PLACES, ("1", "ä"))],
            id="update",
        ),
        pytest.param(
            b"U\x00\x00\xfe0K\x00\x03t\x00\x00\x00\x02\xc3\xa4t\x00\x00\x00\x011n"
            b"N\x00\x03t\x00\x00\x00\x02\xc3\xa4t\x00\x00\x00\x012t\x00\x00\x00\x01x",
            [Written(PLACES, ("1", "ä")), Written(PLACES, ("2", "ä"))],
            id="update of a key",
        ),
        pytest.param(
            b"U\x00\x00\xfe0K\x00\x03t\x00\x00\x00\x02\xc3\xa4t\x00\x00\x00\x011n"
            b"N\x00\x03ut\x00\x00\x00\x012t\x00\x00\x00\x01x",
            [Written(PLACES, ("1", "ä")), Written(PLACES, ("2", "ä"))],
            id="update of a key with a long value that stays",
        ),
        pytest.param(
            b"U\x00\x00\xfe0N\x00\x03ut\x00\x00\x00\x012t\x00\x00\x00\x01x",
            [Written(PLACES, None)],
            id="update without the whole key",
        ),
        pytest.param(
            b"U\x00\x00\xfe7O\x00\x02t\x00\x00\x00\x017t\x00\x00\x00\x01xN\x00\x02t\x00\x00\x00\x018t\x00\x00\x00\x01y",
            [Written(VALUES, ("7",)), Written(VALUES, ("8",))],
            id="update told in full",
        ),
        pytest.param(
            b"D\x00\x00\xfe0K\x00\x03t\x00\x00\x00\x02\xc3\xa4t\x00\x00\x00\x012n",
            [Written(PLACES, ("2", "ä"))],
            id="delete",
        ),
        pytest.param(
            b"T\x00\x00\x00\x02\x00\x00\x00\xfe7\x00\x00\xfe0",
            [Written(VALUES, None), Written(PLACES, None)],
            id="truncate",
        ),
        pytest.param(
            b"M\x01\x00\x00\x00\x00&>\xa9\xe0dbrouting\x00\x00\x00\x00\x05hello", [Mark("hello")], id="message"
        ),
        pytest.param(
            b"C\x00\x00\x00\x00\x01&>\xa9\xe0\x00\x00\x00\x01&>\xac\x80\x00\x03\x03\xd1$\x14\x00\x82",
            [Commit("1/263EAC80")],
            id="commit",
        ),
    ],
)
def test_a_message_tells_the_keys_that_were_written(message: bytes, told: list[object]) -> None:
    decoder = Decoder(KEYS)
    for description in DESCRIPTIONS:
        assert list(decoder.decode(description)) == []

    assert list(decoder.decode(message)) == told


@pytest.mark.parametrize(
    ("snapshot", "xid", "is_seen"),
    [
        ("100:105:100,103", 99, True),
        ("100:105:100,103", 100, False),
        ("100:105:100,103", 101, True),
        ("100:105:100,103", 103, False),
        ("100:105:100,103", 105, False),
        ("100:105:", 104, True),
        (f"{2**32 + 100}:{2**32 + 105}:{2**32 + 103}", 103, False),
        (f"{2**32 + 100}:{2**32 + 105}:{2**32 + 103}", 104, True),
        (f"{2**32 + 2}:{2**32 + 5}:", 2**32 - 1, True),
        (f"{2**32 - 3}:{2**32 - 1}:", 3, False),
    ],
)
def test_a_transaction_of_the_log_is_seen_once_it_has_ended(snapshot: str, xid: int, is_seen: bool) -> None:
    """Though its commit is in the log before, and the log's numbers begin again."""
    assert Snapshot.of(snapshot).sees(xid) is is_seen


@pytest.mark.parametrize(
    ("digest", "before", "after", "found"),
    [
        ("3 30", Sum(1, 10), Sum(1, -5), "3 15"),
        ("1 10", Sum(1, 10), Sum(), "0 None"),
        ("0 None", Sum(), Sum(2, 7), "2 7"),
        ("2 0", Sum(1, -4), Sum(1, -4), "2 0"),
    ],
    ids=["changed", "the last one is gone", "the first ones", "as before"],
)
def test_what_rows_add_up_to_follows_from_those_that_changed(digest: str, before: Sum, after: Sum, found: str) -> None:
    """As the server itself would say it."""
    assert after.instead_of(before, digest) == found
