#!/bin/sh
# The image runs this once, when the primary's folder is new: who may copy it and follow it.
set -e

psql --username=postgres --set=ON_ERROR_STOP=1 --set=password="${REPLICATION_PASSWORD:?}" <<'SQL'
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'password';
SQL
echo "host replication replicator all scram-sha-256" >>"${PGDATA:?}/pg_hba.conf"
