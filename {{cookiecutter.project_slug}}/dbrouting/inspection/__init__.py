"""Compare databases with what routers, models and migrations say of them. Nothing is ever written.

Django trusts its records: what ``django_migrations`` calls applied is never looked at again. Here the tables themselves
are looked at.
"""
