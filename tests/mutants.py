"""Faults put into the routing of a primary-replica project, one at a time: do its own tests notice each?

    uv run python tests/mutants.py                          # all of them, in a quarter of an hour
    uv run python tests/mutants.py pinning.py merged        # those whose file or name contains one of the words
    uv run python tests/mutants.py --tests tests/test_model.py    # which of them that file alone notices

What survives needs a test, or a reason in the table why nobody could tell: the exit code counts those without. Once
the code has changed so that a fault no longer fits, tests/test_mutants.py says so: mend the table with it.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from baking import copy_of_template
from processes import environment

AT_ONCE = 2
TIMEOUT = 600  # seconds; a fault may let a test wait for ever, which is noticed too


class Mutant(NamedTuple):
    """``original``, which ``file`` holds once, becomes ``mutated``. Unnoticed, it would cost the project ``harm``.

    ``survives`` says why no test could tell, of those that no test notices.
    """

    name: str
    file: str
    original: str
    mutated: str
    harm: str
    survives: str = ""


# Of each file the tests that know it best: most faults are noticed there, within seconds.
FIRST = {
    "consistency.py": ("test_positions.py", "test_requests.py"),
    "fallback.py": ("test_fallback.py", "test_positions.py", "test_model.py"),
    "health.py": ("test_health.py", "test_fallback.py"),
    "middleware.py": ("test_requests.py", "test_positions.py", "test_model.py"),
    "pinning.py": ("test_pinning.py", "test_fresh_reads.py", "test_requests.py"),
    "replicas.py": ("test_replicas.py", "test_fallback.py"),
    "routers.py": ("test_fresh_reads.py", "test_pinning.py", "test_remembered.py"),
    "writes.py": ("test_writes.py", "test_pinning.py"),
}

ROUTERS = (
    Mutant(
        "a pin is not looked at",
        "routers.py",
        "if unit.pinned or innermost_primary_block()",
        "if innermost_primary_block()",
        "who wrote reads old rows in the same request",
    ),
    Mutant(
        "use_primary is not looked at",
        "routers.py",
        "if unit.pinned or innermost_primary_block() or",
        "if unit.pinned or",
        "use_primary() does nothing",
    ),
    Mutant(
        "no app is read on the primary alone",
        "routers.py",
        " or label in roles.primary_only_apps",
        "",
        "a log-in is lost; a revoked session lives on",
    ),
    Mutant(
        "a transaction is not looked at",
        "routers.py",
        " or is_in_transaction():",
        ":",
        "a transaction doesn't see its own rows",
    ),
    Mutant(
        "related rows don't follow the object",
        "routers.py",
        "(instance is not None and origin_of(instance)) or unit.replica",
        "unit.replica",
        "the rows of an object from the primary are missing",
    ),
    Mutant(
        "related rows follow the object although the unit is pinned",
        "routers.py",
        "if unit.pinned or innermost_primary_block()",
        "if (unit.pinned and instance is None) or innermost_primary_block()",
        "what was just added to an object from a replica is missing",
    ),
    Mutant(
        "writes go to the replica",
        "routers.py",
        "def db_for_write(self, model: type[Model], **hints: Any) -> str:\n        return roles.primary",
        "def db_for_write(self, model: type[Model], **hints: Any) -> str:\n        return current_unit().replica",
        "every write is refused",
    ),
    Mutant(
        "objects of both may not be related",
        "routers.py",
        "return True if is_here(first) and is_here(second) else None",
        "return None",
        "assigning a row from a replica to one of the primary raises",
    ),
    Mutant(
        "any two objects may be related",
        "routers.py",
        "return True if is_here(first) and is_here(second) else None",
        "return True",
        "rows of another database are referred to by ids that mean nothing here",
    ),
    Mutant(
        "a replica is migrated",
        "routers.py",
        "return db == roles.primary\n",
        "return is_one_of_us(db)\n",
        "migrate --database=replica1 records what it didn't do",
    ),
    Mutant(
        "a transaction begun by hand does not count",
        "routers.py",
        "return connection.connection is not None and not connection.autocommit",
        "return False",
        "with autocommit off, reads miss the transaction's rows",
    ),
    Mutant(
        "the transaction of a test counts",
        "routers.py",
        "return not all(block._from_testcase for block in connection.atomic_blocks)",
        "return True",
        "no test of a project ever reads a replica",
    ),
    Mutant(
        "a transaction inside a test does not count",
        "routers.py",
        "return not all(block._from_testcase",
        "return not any(block._from_testcase",
        "in a TestCase atomic() reads a replica, elsewhere not",
    ),
    Mutant(
        "an object of another database is followed there",
        "routers.py",
        "return alias if alias and is_one_of_us(alias) else None",
        "return alias",
        "related rows are looked for where there is no such table",
    ),
    Mutant(
        "a connection that was replaced is still asked",
        "routers.py",
        "connection_created.connect(look_up_again)",
        "",
        "a transaction on the new connection is not seen",
    ),
    Mutant(
        "a connection is remembered inside an event loop",
        "routers.py",
        "    except RuntimeError:\n        _thread.primary = connection\n",
        "    except RuntimeError:\n        pass\n    _thread.primary = connection\n",
        "one task's transaction is asked for another's",
    ),
    Mutant(
        "threads share the connection that is remembered",
        "routers.py",
        "class _Thread(threading.local):",
        "class _Thread:",
        "one thread's transaction sends all to the primary, another's is not seen",
    ),
)

PINNING = (
    Mutant(
        "a write does not pin",
        "pinning.py",
        "self.pinned = self.wrote = True",
        "self.wrote = True",
        "reads after the write are old",
    ),
    Mutant(
        "a write is not told",
        "pinning.py",
        "self.pinned = self.wrote = True",
        "self.pinned = True",
        "the client's next request reads old rows",
    ),
    Mutant(
        "a replica is chosen for each query",
        "pinning.py",
        "    @cached_property\n    def replica(self) -> str:\n",
        "    @property\n    def replica(self) -> str:\n        return choose_replica()\n",
        "two queries of one page disagree",
    ),
    Mutant(
        "the replica is kept, but drawn again each time",
        "pinning.py",
        "    @cached_property\n    def replica(self)",
        "    @property\n    def replica(self)",
        "the router takes longer to answer",
        survives="setdefault keeps the first choice: only the time differs, which bench/routing.py measures",
    ),
    Mutant(
        "threads choose one replica each",
        "pinning.py",
        'self.__dict__.setdefault("replica", choose_replica())',
        "choose_replica()",
        "two threads of one request that begin at once may read two replicas",
    ),
    Mutant(
        "a unit inherits the pin around it",
        "pinning.py",
        "def decide(self) -> UnitOfWork:\n        return UnitOfWork()",
        "def decide(self) -> UnitOfWork:\n        return UnitOfWork(current_unit().pinned)",
        "a worker that wrote once reads the primary for ever",
    ),
    Mutant(
        "a unit goes on with the one around it",
        "pinning.py",
        "def decide(self) -> UnitOfWork:\n        return UnitOfWork()",
        "def decide(self) -> UnitOfWork:\n        return current_unit()",
        "what a job writes pins the jobs after it",
    ),
    Mutant(
        "a streamed body is a unit of its own",
        "pinning.py",
        "        return self.unit\n",
        "        return UnitOfWork()\n",
        "a body may read another replica than its request, and older rows than it wrote",
    ),
    Mutant(
        "a thread outside of any unit begins anew each time",
        "pinning.py",
        "        unit = UnitOfWork()\n        _context_unit.set(unit)\n",
        "        unit = UnitOfWork()\n",
        "a write in a thread pins nothing",
    ),
    Mutant(
        "the main thread has no unit when tasks are made",
        "pinning.py",
        "_context_unit.set(UnitOfWork())\n\n",
        "\n",
        "a write in a task of a command doesn't pin the command",
    ),
    Mutant(
        "pinning by hand is not told",
        "pinning.py",
        "    current_unit().note_write()",
        "    current_unit().pinned = True",
        "the next request reads what the task elsewhere replaced",
    ),
    Mutant(
        "is_pinned_to_primary forgets use_primary",
        "pinning.py",
        "return current_unit().pinned or innermost_primary_block() is not None",
        "return current_unit().pinned",
        "the owner's own code is told the contrary of what happens",
    ),
    Mutant(
        "use_primary pins its unit",
        "pinning.py",
        '        """The frame itself says it all."""',
        "        current_unit().pinned = True",
        "after the block all reads stay on the primary",
    ),
    Mutant(
        "connections to the primary are not watched",
        "pinning.py",
        "watch = pin_on_write",
        "return",
        "no write pins",
    ),
    Mutant(
        "connections to replicas are not watched",
        "pinning.py",
        "watch = refuse_write",
        "return",
        "a write to a replica is an error of the server, or lost",
    ),
    Mutant(
        "a connection is watched once more each time it is opened",
        "pinning.py",
        "if watch not in connection.execute_wrappers:",
        "if True:",
        "each reconnect makes every query of the process slower",
    ),
    Mutant(
        "the watch is the last wrapper",
        "pinning.py",
        "connection.execute_wrappers.insert(0, watch)",
        "connection.execute_wrappers.append(watch)",
        "the end of an execute_wrapper block takes the watch away",
    ),
    Mutant(
        "only a write that succeeds pins",
        "pinning.py",
        "    if not unit.wrote and may_write(sql):\n        unit.note_write()\n"
        "    return execute(sql, params, many, context)",
        "    result = execute(sql, params, many, context)\n"
        "    if not unit.wrote and may_write(sql):\n        unit.note_write()\n    return result",
        "get_or_create can't find the row that it collided with",
    ),
    Mutant(
        "a pinned unit's first write is not noted",
        "pinning.py",
        "if not unit.wrote and may_write(sql)",
        "if not unit.pinned and may_write(sql)",
        "a POST hands out no token",
    ),
    Mutant(
        "a replica takes writes",
        "pinning.py",
        "    if is_write(sql):\n",
        "    if False:\n",
        "a write by .using() is an error of the server, or lost",
    ),
    Mutant(
        "a replica refuses what may only perhaps write",
        "pinning.py",
        "    if is_write(sql):\n",
        "    if may_write(sql):\n",
        "a read of a replica is an error page",
    ),
)

MIDDLEWARE = (
    Mutant(
        "a POST begins on a replica",
        "middleware.py",
        "unit = UnitOfWork(request.method not in SAFE_METHODS)",
        "unit = UnitOfWork()",
        "old rows are changed and written back",
    ),
    Mutant(
        "HEAD is unsafe",
        "middleware.py",
        '{"GET", "HEAD", "OPTIONS", "TRACE"}',
        '{"GET", "OPTIONS", "TRACE"}',
        "probes load the primary",
    ),
    Mutant(
        "a token without a position is ignored",
        "middleware.py",
        "            unit.pinned = True\n        elif position:",
        "            pass\n        elif position:",
        "without positions, who wrote reads old rows",
    ),
    Mutant(
        "a position pins",
        "middleware.py",
        "unit.required = position.merged(unit.required)",
        "unit.pinned = True",
        "who wrote reads the primary although the replicas have caught up",
    ),
    Mutant(
        "the last token replaces the others",
        "middleware.py",
        "unit.required = position.merged(unit.required)",
        "unit.required = position",
        "an old header beside a newer cookie moves the client back",
    ),
    Mutant(
        "the cookie is not read",
        "middleware.py",
        "if token := request.COOKIES.get(settings.PRIMARY_PIN_COOKIE):",
        "if token := None:",
        "the next request reads old rows",
    ),
    Mutant(
        "the header is not read",
        "middleware.py",
        "if settings.PRIMARY_PIN_HEADER and (token := request.headers",
        "if False and (token := request.headers",
        "clients of an API read old rows",
    ),
    Mutant(
        "the replica is not compared before the first row",
        "middleware.py",
        "            settle(unit)\n            response",
        "            response",
        "a row says that it came from a replica, and its related rows are looked for there",
    ),
    Mutant(
        "the same of asynchronous views",
        "middleware.py",
        "await sync_to_async(settle)(unit)",
        "pass",
        "a row says that it came from a replica, and its related rows are looked for there",
    ),
    Mutant(
        "a pinned request asks a replica",
        "middleware.py",
        "if unit.required and not unit.pinned and unit.replica",
        "if unit.required and unit.replica",
        "a POST waits for a replica that it never reads",
    ),
    Mutant(
        "an error of the replica ends the request",
        "middleware.py",
        "        with suppress(Error):\n            connections[unit.replica].cursor().close()",
        "        connections[unit.replica].cursor().close()",
        "a page that needs no database is an error page while both servers are down",
    ),
    Mutant(
        "every request hands out a position",
        "middleware.py",
        "    if not unit.wrote:\n        return None\n",
        "",
        "each read asks the primary, and no page can be cached",
    ),
    Mutant(
        "a position that can't be had is an error",
        "middleware.py",
        "    except Error:\n        logger.warning(",
        "    except ArithmeticError:\n        logger.warning(",
        "a request that did its work is an error page",
    ),
    Mutant(
        "REPLICA_POSITIONS is not asked",
        "middleware.py",
        "if not settings.REPLICA_POSITIONS or primary.in_atomic_block:",
        "if primary.in_atomic_block:",
        "servers without positions are asked for one after each write",
    ),
    Mutant(
        "a new position replaces the old one",
        "middleware.py",
        "return written.merged(unit.required) if written else UNKNOWN",
        "return written or UNKNOWN",
        "a primary that has lost a stream makes its clients forget what they wrote there",
    ),
    Mutant(
        "a token outlives its time in the browser",
        "middleware.py",
        "age = settings.PRIMARY_PIN_SECONDS if position == UNKNOWN else settings.PRIMARY_PIN_COOKIE_AGE",
        "age = settings.PRIMARY_PIN_COOKIE_AGE",
        "browsers send what is over, and zero seconds don't switch it off",
    ),
    Mutant(
        "a streamed body is not the request's",
        "middleware.py",
        "belonging: HttpResponseBase = working_for(unit).finished(response)",
        "belonging: HttpResponseBase = response",
        "a body reads another replica than its request",
    ),
    Mutant(
        "a shared cache may keep the token",
        "middleware.py",
        "    patch_cache_control(response, private=True)\n",
        "",
        "everybody gets one client's token",
    ),
    Mutant(
        "the response does not vary by cookie",
        "middleware.py",
        '    patch_vary_headers(response, ("Cookie",))\n',
        "",
        "a cache gives one client's page to another",
    ),
    Mutant(
        "scripts may read the token",
        "middleware.py",
        "httponly=True",
        "httponly=False",
        "a script of another origin's takes it along",
    ),
    Mutant(
        "no header is handed out",
        "middleware.py",
        "        response.headers[settings.PRIMARY_PIN_HEADER] = token\n",
        "",
        "clients of an API read old rows",
    ),
    Mutant(
        "what a view left open goes on",
        "middleware.py",
        "with working_for(unit), everything_ended():",
        "with working_for(unit):",
        "the thread's next request is routed by a block of this one",
    ),
    Mutant(
        "the admin reads replicas",
        "middleware.py",
        "            current_unit().pinned = True\n\n\ndef begun",
        "            pass\n\n\ndef begun",
        "forms write back old values",
    ),
)

CONSISTENCY = (
    Mutant(
        "another cluster's numbers count",
        "consistency.py",
        "return self.cluster == other.cluster and all(",
        "return all(",
        "a replica of another cluster passes for fresh",
    ),
    Mutant(
        "one stream is enough",
        "consistency.py",
        "return self.cluster == other.cluster and all(",
        "return self.cluster == other.cluster and any(",
        "what was written in another domain is missing",
    ),
    Mutant(
        "a position does not cover itself",
        "consistency.py",
        ">= number for name",
        "> number for name",
        "who wrote reads the primary until somebody else writes",
    ),
    Mutant(
        "a stream that is missing counts",
        "consistency.py",
        "reached.get(name, -1)",
        "reached.get(name, number)",
        "a replica that has nothing of a domain passes for fresh",
    ),
    Mutant(
        "the nearer one of two positions counts",
        "consistency.py",
        "max(number, streams.get(name, number))",
        "min(number, streams.get(name, number))",
        "a second tab moves the client back",
    ),
    Mutant(
        "positions of two clusters are merged",
        "consistency.py",
        "if older is None or older.cluster != self.cluster:",
        "if older is None:",
        "after a move to another cluster no replica is ever fresh",
    ),
    Mutant(
        "streams of the older position are lost",
        "consistency.py",
        "streams = dict(older.streams)",
        "streams: dict[str, int] = {}",
        "what was written in another domain is missing",
    ),
    Mutant(
        "a position is no token for ever",
        "consistency.py",
        "if position == UNKNOWN else settings.PRIMARY_PIN_COOKIE_AGE",
        "if position == UNKNOWN else 10**9",
        "a token of long ago is believed",
    ),
    Mutant(
        "the time without a position does not end",
        "consistency.py",
        "settings.PRIMARY_PIN_SECONDS if position == UNKNOWN else settings.PRIMARY_PIN_COOKIE_AGE",
        "settings.PRIMARY_PIN_COOKIE_AGE",
        "without positions, who wrote once reads the primary for an hour",
    ),
    Mutant(
        "a forged token is an error page",
        "consistency.py",
        "    except BadSignature:",
        "    except ArithmeticError:",
        "anybody can make error pages",
    ),
    Mutant(
        "a malformed token is an error page",
        "consistency.py",
        "    except ValueError:",
        "    except ArithmeticError:",
        "a token of an older version is an error page",
    ),
    Mutant(
        "tokens that were ignored are not counted",
        "consistency.py",
        "    ignored[fault] += 1\n",
        "    ignored[fault] += 0\n",
        "nobody notices that a proxy cuts cookies",
    ),
)

FALLBACK = (
    Mutant(
        "any replica is fresh",
        "fallback.py",
        "                if self.is_fresh():",
        "                if True:",
        "who wrote reads old rows",
    ),
    Mutant(
        "no replica is fresh for those who wrote",
        "fallback.py",
        "return memory[self.alias].covers(required)",
        "return False",
        "who wrote reads the primary although the replicas have caught up",
    ),
    Mutant(
        "what the alias has replayed is asked once",
        "fallback.py",
        "if self.alias not in memory or not memory[self.alias].covers(required):",
        "if self.alias not in memory:",
        "who wrote reads the primary as long as the connection lives",
    ),
    Mutant(
        "what was replayed is asked in each query",
        "fallback.py",
        "if self.alias not in memory or not memory[self.alias].covers(required):",
        "if True:",
        "a request that needs ten reads makes twenty queries",
    ),
    Mutant(
        "what was replayed is remembered of the alias, not of the connection",
        "fallback.py",
        'vars(self.connection).setdefault("dbrouting_replayed", {})',
        'vars(self).setdefault("dbrouting_replayed", {})',
        "behind one alias, another server passes for fresh",
    ),
    Mutant(
        "an override is not strict",
        "fallback.py",
        "return is_named or self.is_opening or has_transaction(self) or not is_replica(self.alias)",
        "return self.is_opening or has_transaction(self) or not is_replica(self.alias)",
        "a command that looks at a replica is answered by the primary",
    ),
    Mutant(
        "a transaction on a replica is not strict",
        "fallback.py",
        "return is_named or self.is_opening or has_transaction(self) or not is_replica(self.alias)",
        "return is_named or self.is_opening or not is_replica(self.alias)",
        "half of a transaction's reads are another server's",
    ),
    Mutant(
        "one that is left out is tried again",
        "fallback.py",
        "if is_left_out(self.alias) and id(self) in _waiting:",
        "if False:",
        "each object read before waits for the dead server",
    ),
    Mutant(
        "one that can't be connected to is an error page",
        "fallback.py",
        "        except (OperationalError, InterfaceError) as error:\n            self.fail(error)\n",
        "        except ArithmeticError as error:\n            self.fail(error)\n",
        "each n-th request fails while a replica is down",
    ),
    Mutant(
        "a failure is not reported",
        "fallback.py",
        "        health.note_failure(self.alias, error)\n",
        "",
        "each request finds the dead replica anew",
    ),
    Mutant(
        "who was turned away is not pinned",
        "fallback.py",
        "        current_unit().pinned = True\n        primary",
        "        primary",
        "one request reads old and new rows by turns",
    ),
    Mutant(
        "a statement that fails is an error page",
        "fallback.py",
        "            if not self._can_move(error):\n                raise\n        return self._move()",
        "            raise\n        return self._move()",
        "the request that finds the replica dead fails",
    ),
    Mutant(
        "any error is asked of the primary again",
        "fallback.py",
        "        if isinstance(error, ProgrammingError) or not replication.is_failure(error):\n"
        "            return False\n",
        "",
        "a mistake in a statement leaves out all replicas, one by one",
    ),
    Mutant(
        "a statement is run again after rows were handed out",
        "fallback.py",
        "            rows = self._cursor.fetchmany(*args, **kwargs)\n        self._statement = None\n",
        "            rows = self._cursor.fetchmany(*args, **kwargs)\n",
        "rows come twice",
    ),
    Mutant(
        "a first fetch that fails is an error page",
        "fallback.py",
        "            if not self._can_move(error):\n                raise\n            self._move()\n",
        "            raise\n            self._move()\n",
        "iterator() fails when the replica dies",
    ),
)

REPLICAS_AND_HEALTH = (
    Mutant(
        "weights are not looked at",
        "replicas.py",
        "random.choices(tuple(weights), tuple(weights.values()))",
        "random.choices(tuple(weights))",
        "the small replica gets as much as the big one",
    ),
    Mutant(
        "one that is left out is chosen",
        "replicas.py",
        " for alias, weight in replica_weights().items() if not is_left_out(alias)",
        " for alias, weight in replica_weights().items()",
        "each n-th request waits for a dead server",
    ),
    Mutant(
        "with all of them out there is an error",
        "replicas.py",
        "    if not weights:\n        return primary_alias()\n",
        "",
        "nobody reads while the replicas are down",
    ),
    Mutant(
        "nobody comes back",
        "replicas.py",
        "return alias in _left_out and time.monotonic() < _left_out[alias]",
        "return alias in _left_out",
        "after one failure the process never reads the replica again",
    ),
    Mutant(
        "a changed setting does not count",
        "replicas.py",
        "        setting_changed.connect(self.read_settings)  # of a test\n",
        "",
        "the owner's tests test another configuration",
    ),
    Mutant(
        "a failure leaves nobody out",
        "health.py",
        "        replicas.leave_out(alias, settings.REPLICA_COOLDOWN_SECONDS)\n        before",
        "        before",
        "each request finds the dead replica anew",
    ),
    Mutant(
        "each failure is told",
        "health.py",
        '    if before.state == "in":\n        seconds',
        "    if True:\n        seconds",
        "the log fills while a replica is down",
    ),
    Mutant(
        "it is back before its cooldown is over",
        "health.py",
        'if before.state == "in" or replicas.is_left_out(alias):',
        'if before.state == "in":',
        "a replica that comes and goes is told as back while nobody reads it",
    ),
    Mutant(
        "a promoted server is well",
        "health.py",
        "if answers_yes(cursor, engine.ASK_TAKES_WRITES):",
        "if False:",
        "old rows, for ever",
    ),
    Mutant(
        "lag is not looked at",
        "health.py",
        "if self.lag and self.lag > limit else",
        "if False else",
        "a replica that stopped replaying is read",
    ),
    Mutant(
        "beside an idle primary the lag grows",
        "health.py",
        "        if replayed.covers(position):\n            break\n",
        "        if replayed.covers(position) and position != seen[-1][1]:\n            break\n",
        "at night all replicas are left out",
    ),
    Mutant(
        "the lag counts from the newest position",
        "health.py",
        "        lag = time.monotonic() - when\n",
        "        lag = lag or time.monotonic() - when\n",
        "a busy primary's late replica passes for well",
    ),
    Mutant(
        "an error ends the watch",
        "health.py",
        "        except Exception as error:\n            fault = error\n",
        "        except ArithmeticError as error:\n            fault = error\n",
        "a replica that can't be reached is well",
    ),
)

WRITES = (
    Mutant(
        "no select writes",
        "writes.py",
        'return word == "select" and _INTO.search(sql) is not None',
        "return False",
        "SELECT INTO doesn't pin",
    ),
    Mutant(
        "only the first statement counts",
        "writes.py",
        ' or ";" in sql:',
        ":",
        "a write behind a read doesn't pin",
    ),
    Mutant(
        "an unknown word reads",
        "writes.py",
        "return bool(word or sql.strip())",
        "return word in WRITES",
        "CALL doesn't pin",
    ),
)

MUTANTS = (*ROUTERS, *PINNING, *MIDDLEWARE, *CONSISTENCY, *FALLBACK, *REPLICAS_AND_HEALTH, *WRITES)


def baked(template: Path, folder: Path) -> Path:
    answers = ["project_slug=my-shop", "topology=primary-replica", "database_engine=sqlite"]
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "-o", str(folder), str(template), *answers]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "my-shop"


def mutated(mutant: Mutant, source: str) -> str:
    """``source`` with the fault; ValueError if the table speaks of another text."""
    found = source.count(mutant.original)
    if found != 1:
        raise ValueError(
            f"{mutant.name!r}: dbrouting/{mutant.file} has its original text {found} times. Mend tests/mutants.py."
        )
    return source.replace(mutant.original, mutant.mutated)


def verdict(mutant: Mutant, project: Path, tests: Sequence[str]) -> str:
    """The test that notices ``mutant`` in a copy of ``project``; empty if none does."""
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(project, Path(folder) / project.name)
        file = copy / "dbrouting" / mutant.file
        file.write_text(mutated(mutant, file.read_text("utf-8")), "utf-8")
        first = [f"tests/{name}" for name in FIRST[mutant.file]]
        for selection in [tests] if tests else [first, []]:
            if noticed := first_failure(copy, selection):
                return noticed
    return ""


def first_failure(project: Path, tests: Sequence[str]) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-rfE", "--show-capture=no", "--tb=no", *tests]
    with subprocess.Popen(
        [*command, "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly"],
        cwd=project,
        env=environment(PWD=str(project)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return f"no end within {TIMEOUT} seconds"
    if process.returncode == 0:
        return ""
    failed = [line for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return failed[0].split(" - ")[0] if failed else f"pytest's exit code {process.returncode}"


def chosen(words: Sequence[str]) -> list[Mutant]:
    return [one for one in MUTANTS if not words or any(word in one.file or word in one.name for word in words)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="parts of files' or mutants' names")
    parser.add_argument("--tests", nargs="+", default=[], help="run these tests of the project alone")
    options = parser.parse_args()
    mutants = chosen(options.words)
    if not mutants:
        parser.error(f"No mutant's file or name contains {' or '.join(options.words)}.")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        template = copy_of_template(Path(folder) / "template")
        project = baked(template, Path(folder))
        if failure := first_failure(project, options.tests):
            parser.error(f"Without any mutant the project's tests fail already: {failure}")
        survivors = []
        verdicts = pool.map(lambda mutant: verdict(mutant, project, options.tests), mutants)
        for mutant, noticed in zip(mutants, verdicts, strict=True):
            if not noticed:
                survivors.append(mutant)
            reason = f"survived: {mutant.survives or mutant.harm}"
            print(f"{mutant.file:16} {mutant.name}\n{'':16} {noticed or reason}", flush=True)
    unexplained = [mutant for mutant in survivors if not mutant.survives]
    print(f"{len(mutants) - len(survivors)} of {len(mutants)} killed; {len(unexplained)} of the others unexplained")
    return len(unexplained)


if __name__ == "__main__":
    sys.exit(main())
