#!/bin/sh
# Starts a replica: the first time it copies the primary, from then on it goes on where it stopped.
set -e

if [ ! -s "${PGDATA:?}/PG_VERSION" ]; then
    export PGPASSWORD="${REPLICATION_PASSWORD:?}"
    # The slot makes the primary keep what this replica hasn't read yet; one that lost its folder finds it there.
    psql --dbname="${PRIMARY:?}" --set=ON_ERROR_STOP=1 --set=slot="${SLOT:?}" --quiet <<'SQL'
SELECT pg_create_physical_replication_slot(:'slot')
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = :'slot');
SQL
    # --write-recovery-conf makes it a replica of the server it was copied from, with this user, password and slot.
    pg_basebackup --dbname="$PRIMARY" --pgdata="$PGDATA" --slot="$SLOT" --write-recovery-conf --checkpoint=fast
    chmod 700 "$PGDATA"
    unset PGPASSWORD
fi
exec "$@"
