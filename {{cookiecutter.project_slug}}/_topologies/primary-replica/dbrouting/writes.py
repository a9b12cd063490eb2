"""Which SQL statements write; told from their text, so that raw SQL counts like the ORM's.

A function that writes and is called by ``SELECT`` can't be recognised: call ``pin_to_primary()`` beside it. Nor is
what never passes through ``cursor.execute``: ``callproc``, and ``COPY`` through the driver's own cursor.
"""

import re

# Words that begin statements which change no row. What is not here counts as a write.
READS = re.compile(
    "abort|begin|close|commit|declare|deallocate|desc|describe|end|explain|fetch|help|move|pragma|release|reset|"
    "rollback|savepoint|select|set|show|start|table|use|values|with"
)
# Statements that may or may not write: only the server can tell.
CALLS = frozenset({"call", "do", "execute"})

_FIRST_WORD = re.compile(r"(?:[\s(;]|--[^\n]*|#[^\n]*|/\*(?!!).*?\*/)*+([a-z]+)", re.IGNORECASE | re.DOTALL)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*(?!!).*?\*/", re.DOTALL)
_CHANGE = re.compile(r"\b(?:insert|replace|merge|delete)\b(?! ?\()|(?<!for )(?<!key )\bupdate\b", re.IGNORECASE)
_INTO = re.compile(r"\binto\b(?! @| outfile| dumpfile)", re.IGNORECASE)


def writes(statement: object) -> bool:
    """Whether executing ``statement`` may change rows or tables; rather yes than no, if that isn't clear."""
    sql = _text_of(statement)
    return any(_writes(part) for part in _parts(sql))


def is_call(statement: object) -> bool:
    return _first_word(_text_of(statement)) in CALLS


def _text_of(statement: object) -> str:
    if isinstance(statement, str):
        return statement
    if isinstance(statement, bytes):
        return statement.decode(errors="replace")
    as_string = getattr(statement, "as_string", None)  # psycopg's composed SQL
    return str(as_string(None) if as_string else statement)


def _parts(sql: str) -> list[str]:
    """The statements in ``sql``: some drivers take several at once."""
    return _bare(sql).split(";") if ";" in sql else [sql]


def _writes(sql: str) -> bool:
    word = _first_word(sql)
    if not READS.fullmatch(word):
        return bool(word or sql.strip())
    match word:
        case "with":
            return _CHANGE.search(_bare(sql)) is not None
        case "explain":
            return "analyze" in sql.lower() and _CHANGE.search(_bare(sql)) is not None
        case "select":
            return "into" in sql.lower() and _INTO.search(_bare(sql)) is not None
    return False


def _first_word(sql: str) -> str:
    found = _FIRST_WORD.match(sql)
    return found[1].lower() if found else ""


def _bare(sql: str) -> str:
    """``sql`` without comments, literals and quoted names, in which any word may stand, and with single spaces."""
    return " ".join(_QUOTED.sub(" x ", sql).split())
