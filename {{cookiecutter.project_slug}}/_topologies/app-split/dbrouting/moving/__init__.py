"""Move an app with live data to another database.

Rows are copied in ranges of their keys while the site goes on writing. Then the old tables refuse writes, in the
database itself, each range is compared, and those that have changed meanwhile are copied again: what is finished is
verified. PostgreSQL can tell what is written, and then all but the last rows are compared before writes are refused. A
ledger in the new database says how far it is; a run that was killed goes on from there.
"""
