#!/usr/bin/env bash
# Writes the records and the photos of the running Compose system into a new folder: `make backup TO=<folder>`.
#
# The records first, all at one instant, and the photos after them: a photo is stored before any record of it and
# outlives it by PHOTO_GRACE_SECONDS, so that each photo that the records refer to is still there to be read. What was
# submitted after that instant is not in the records, and its photos, if any were caught, are removed as orphans after
# a restore. The folder gets its name only when all of it is there.
set -euo pipefail
umask 077
to=${1:?"Say where to: make backup TO=<folder>"}
to=${to%/}
here=$(dirname "$0")
. "$here/shared.sh"
[ ! -e "$to" ] || { echo "$to exists already; nothing was written." >&2; exit 1; }
(cd "$here/../.." && containers_only SQL_URL MONGO_URL)

part=$to.part
rm -rf "$part"
mkdir -p "$part"
part=$(CDPATH='' cd "$part" && pwd -P)
cd "$here/../.."

began=$(date +%s)
# Passwords stay in the containers' environment. The instant is that of one transaction, which locks nothing.
docker compose exec -T mysql sh -c 'MYSQL_PWD="$MYSQL_PASSWORD" exec mysqldump --single-transaction --quick \
  --no-tablespaces --set-gtid-purged=OFF --loose-skip-masking-policies -u "$MYSQL_USER" "$MYSQL_DATABASE"' > "$part/records.sql"
docker compose run --rm --no-deps -T tasks python -m services.tasks photos export --records-from "$began" \
  > "$part/photos.bson"
(cd "$part" && sha256 records.sql photos.bson > SHA256SUMS)
case $(uname) in Darwin) sync ;; *) sync -f "$part" ;; esac
cd - > /dev/null
mv "$part" "$to"
echo "Backed up into $to."
