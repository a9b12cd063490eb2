#!/bin/sh
# The image runs this once, when the primary's folder is new: who may follow it.
set -e

# The log must begin after the set-up: each replica's image has made these users there already.
mariadb --user=root --password="${MARIADB_ROOT_PASSWORD:?}" <<SQL
CREATE USER replicator@'%' IDENTIFIED BY '${REPLICATION_PASSWORD:?}';
GRANT REPLICATION SLAVE ON *.* TO replicator@'%';
RESET MASTER;
SQL
