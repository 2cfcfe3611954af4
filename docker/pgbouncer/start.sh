#!/bin/sh
# Writes pgbouncer.ini and userlist.txt from the template and from two secrets, and becomes PgBouncer.
# It reads the passwords of the gateway's two logins and of nobody else.
set -eu
: "${SECRETS_FOLDER:?where sandbox_password and statements_password lie}"
: "${DATABASE_HOST:?the host of PostgreSQL}"
template=${TEMPLATE:-/etc/pgbouncer/pgbouncer.ini.template}
folder=${RUN_FOLDER:-/run/pgbouncer}
umask 077

login() {
  if [ ! -s "$SECRETS_FOLDER/$2" ]; then
    echo "start: $SECRETS_FOLDER/$2 is not there, empty or not readable for $(id -un)" >&2
    exit 1
  fi
  # Within quotes a quote is written twice. The first line is the password.
  printf '"%s" "%s"\n' "$1" "$(head -n 1 "$SECRETS_FOLDER/$2" | tr -d '\r' | sed 's/"/""/g')"
}
{
  login shop_gateway sandbox_password
  login shop_statements statements_password
} >"$folder/userlist.txt"

sed -e "s|@DATABASE_HOST@|$DATABASE_HOST|" -e "s|@DATABASE_PORT@|${DATABASE_PORT:-5432}|" \
  -e "s|@LISTEN_HOST@|${LISTEN_HOST:-0.0.0.0}|" -e "s|@LISTEN_PORT@|${LISTEN_PORT:-6432}|" \
  -e "s|@POOL_SIZE@|${POOL_SIZE:-10}|" -e "s|@FOLDER@|$folder|" "$template" >"$folder/pgbouncer.ini"

exec pgbouncer "$folder/pgbouncer.ini"
