# Read by backup.sh and restore.sh. They work with bash 3.2 and the tools of macOS too.

# Checksums as GNU's sha256sum writes and checks them; macOS has shasum.
sha256() {
  if command -v sha256sum > /dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}

# backup.sh and restore.sh copy what lies in the containers: `containers_only <setting>…` ends the script
# when the services keep it elsewhere. It would copy another system's data, or write over them.
containers_only() {
  local settings name
  settings=$(docker compose config tasks)
  for name; do
    if ! grep -qE "^ +$name: [a-z]+://[^@/]*@(mysql:3306/|mongo:27017/LeakageImages\?authSource=admin|rabbitmq:5672/)$" <<< "$settings"; then
      echo "$name names a server of your own, and this is for the containers' data only; nothing was done." \
        'See "Servers of your own" in docs/runbook.md.' >&2
      exit 1
    fi
  done
}
