"""What Django keeps for all alike, bound to one site: sessions, tokens, cache keys, files, transactions of a request.

Each module is about one thing, and none of them needs another. ``dbrouting.topology_checks`` imports those that change something of
Django's by being imported; settings in ``config/databases.py`` name the rest.
"""
