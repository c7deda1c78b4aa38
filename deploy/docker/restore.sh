#!/usr/bin/env bash
# Puts a backup into an empty Compose system and starts it: `make restore FROM=<folder>`. OVERWRITE=1 removes first
# what is there. Stopped halfway, it has to be done again, with OVERWRITE=1.
set -euo pipefail
from=$(CDPATH='' cd "${1:?"Say what from: make restore FROM=<folder>"}" && pwd -P)
cd "$(dirname "$0")/../.."
. deploy/docker/shared.sh

containers_only SQL_URL MONGO_URL RABBITMQ_URL
(cd "$from" && sha256 --check --quiet SHA256SUMS)

query() { docker compose exec -T mysql sh -c 'MYSQL_PWD="$MYSQL_PASSWORD" exec mysql -N -u "$MYSQL_USER" "$@"' sh "$@"; }

docker compose up --detach --wait mysql mongo rabbitmq
tables=$(query information_schema -e \
  "SELECT COUNT(*) FROM tables WHERE table_schema NOT IN ('information_schema', 'performance_schema')")
overwrite=
if [ "${OVERWRITE:-}" = 1 ]; then
  overwrite=--overwrite
elif [ "$tables" != 0 ]; then
  echo "There are records in this system already. To remove them, and the photos: make restore FROM=… OVERWRITE=1" >&2
  exit 1
fi
docker compose stop gateway auth tasks analysis

docker compose run --rm --no-deps -T tasks python -m services.tasks photos import $overwrite \
  < "$from/photos.bson"
database=$(docker compose exec -T mysql printenv MYSQL_DATABASE)
query -e "DROP DATABASE IF EXISTS \`$database\`; CREATE DATABASE \`$database\` CHARACTER SET utf8mb4"
query "$database" < "$from/records.sql"
docker compose run --rm --no-deps -T tasks python -m services.tasks photos remove-orphans

# A token that was signed out after the backup would count again: every token from before now is refused instead.
docker compose run --rm --no-deps -T auth python -m services.auth sign-out-everybody
docker compose run --rm --no-deps -T tasks python -m services.tasks sign-out-everybody

# Events of another time must not meet these records: a profile that is newer than its owner's record would outdo all
# that come after. What was on its way at the time of the backup is announced again: jobs by the sweeper, profiles here.
docker compose exec -T rabbitmq sh -ec 'rabbitmqctl --quiet delete_vhost /
  for file in /etc/rabbitmq/definitions/*.json; do rabbitmqctl --quiet import_definitions "$file"; done'
docker compose up --detach --wait
docker compose exec -T auth python -m services.auth announce-profiles
echo "Restored from $from."
