#!/bin/sh
# The image runs this once, when the replica's folder is new: whom to follow, from the start of the primary's log.
# It begins to follow when the image starts the server for good.
set -e

# Positions are GTIDs: they mean the same on every server, so that a replica can be pointed at another primary.
# The servers talk in a network of their own, where nobody has signed their certificates.
mariadb --user=root --password="${MARIADB_ROOT_PASSWORD:?}" <<SQL
CHANGE MASTER TO
    MASTER_HOST = '${PRIMARY_HOST:?}', MASTER_PORT = ${PRIMARY_PORT:?},
    MASTER_USER = 'replicator', MASTER_PASSWORD = '${REPLICATION_PASSWORD:?}',
    MASTER_SSL_VERIFY_SERVER_CERT = 0, MASTER_USE_GTID = slave_pos, MASTER_DELAY = ${REPLICATION_DELAY:?}, MASTER_CONNECT_RETRY = 1;
SQL
