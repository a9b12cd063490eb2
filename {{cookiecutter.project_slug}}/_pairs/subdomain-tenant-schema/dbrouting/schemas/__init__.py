"""A database backend: Django's for PostgreSQL, in the schema that ``"SCHEMA"`` names."""
