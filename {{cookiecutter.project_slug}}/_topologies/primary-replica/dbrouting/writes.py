"""Which SQL statements write; told from their words, so that raw SQL counts like the ORM's.

Nobody but the server can be sure. So there are two questions: ``may_write``, which rather says yes, for a read that
pins costs a read on the primary; and ``is_write``, which rather says no, for a read that is refused is an error page.
"""

import re

READS = frozenset(
    """
    abort begin close commit deallocate declare desc describe end explain fetch help move pragma release reset rollback
    savepoint select set show start table use values with
    """.split()  # noqa: SIM905  a list would take a line for each
)
WRITES = frozenset({"alter", "copy", "create", "delete", "drop", "insert", "merge", "replace", "truncate", "update"})

_FIRST_WORD = re.compile(r"(?:[\s(;]|--[^\n]*+|#[^\n]*+|/\*(?!!).*?\*/)*+([a-z]+)", re.IGNORECASE | re.DOTALL)
_INTO = re.compile(r"\sinto\s+(?!@)", re.IGNORECASE)
_CHANGE = re.compile(
    r"\b(?:alter|call|create|delete|do|drop|execute|insert|into|merge|replace|truncate)\b|(?<!for )(?<!key )\bupdate\b",
    re.IGNORECASE,
)


def may_write(statement: object) -> bool:
    """Whether executing ``statement`` may change rows or tables. A word in a literal is taken for what it says."""
    sql = _text_of(statement)
    word = _first_word(sql)
    if word not in READS:
        return bool(word or sql.strip())
    if word in {"begin", "explain", "with"} or ";" in sql:
        return _CHANGE.search(sql) is not None
    return word == "select" and _INTO.search(sql) is not None


def is_write(statement: object) -> bool:
    """Whether ``statement`` is a write beyond doubt."""
    return _first_word(_text_of(statement)) in WRITES


def _text_of(statement: object) -> str:
    if isinstance(statement, str):
        return statement
    if isinstance(statement, bytes):
        return statement.decode(errors="replace")
    as_string = getattr(statement, "as_string", None)  # psycopg's composed SQL
    return str(as_string(None) if as_string else statement)


def _first_word(sql: str) -> str:
    found = _FIRST_WORD.match(sql)
    return found[1].lower() if found else ""
