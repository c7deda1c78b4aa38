#!/usr/bin/env bash
# Writes the digests of the images that Compose names into .env: `make pin-images`. From then on a tag that was moved
# changes nothing here, until this is run again. Asks the registry with `docker buildx imagetools inspect`, so it needs
# a way to it, and changes nothing when one image could not be looked up.
set -euo pipefail
cd "$(dirname "$0")/../.."
settings=${1:-.env}
[ -f "$settings" ] || { echo "There is no $settings. \`make up\` makes it." >&2; exit 1; }

lines=
# The image that each setting names: what the settings file says, or else the default in docker-compose.yml.
while read -r name default; do
  image=$(sed -n "s/^$name=//p" "$settings" | tail -n 1)
  image=${image:-$default}
  tagged=${image%%@*}
  digest=$(docker buildx imagetools inspect "$tagged" --format '{{.Manifest.Digest}}') ||
    { echo "Cannot look up $tagged; nothing was changed." >&2; exit 1; }
  [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] ||
    { echo "The registry names no digest of $tagged; nothing was changed." >&2; exit 1; }
  lines="$lines$name=$tagged@$digest
"
done < <(grep -oE '\$\{[A-Z]+_IMAGE:-[^}]+\}' docker-compose.yml | sed -E 's/^\$\{([A-Z_]+):-(.*)\}$/\1 \2/' | sort -u)
[ -n "$lines" ] || { echo "docker-compose.yml names no image." >&2; exit 1; }

umask 077
new=$settings.new
{
  grep -vE '^(PYTHON|MYSQL|MONGO|RABBITMQ)_IMAGE=' "$settings" || true
  printf '%s' "$lines"
} > "$new"
mv "$new" "$settings"
printf '%s' "$lines" | sed 's/^/Pinned /'
