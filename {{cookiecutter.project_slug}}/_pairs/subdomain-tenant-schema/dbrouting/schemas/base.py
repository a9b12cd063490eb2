"""Where Django looks for a backend's connections: those of ``sessions``, with the tools for schemas."""

from dbrouting.schemas import sessions
from dbrouting.schemas.client import SchemaClient
from dbrouting.schemas.creation import SchemaCreation
from dbrouting.schemas.provisioning import Schema


class DatabaseWrapper(sessions.DatabaseWrapper):
    client_class = SchemaClient
    creation_class = SchemaCreation
    provisioner = Schema()
