"""What Django keeps for all alike, bound to one site: sessions, tokens, cache keys, files, transactions of a request.

Each module is about one thing. ``guards`` imports those that change something of Django's; settings in
``config/databases.py`` name the rest.
"""
