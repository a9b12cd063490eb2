"""A database backend: Django's for this engine, whose connections all tenants of a process take from one stock."""
