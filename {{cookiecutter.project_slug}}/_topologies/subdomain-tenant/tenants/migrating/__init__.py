"""Migrating many tenants, and knowing what each has."""
