#!/bin/sh
# Makes the secrets of compose.yaml, each in a file of its own: docker/make-secrets.sh FOLDER
# What is there already stays as it is.
set -eu
folder=${1:?usage: docker/make-secrets.sh FOLDER}
umask 077
mkdir -p "$folder"
# The folder keeps others out. Each container sees single files, and reads them as a user of its own.
chmod 700 "$folder"
for name in postgres_password sandbox_password statements_password keysync_password gateway_secret assistant_secret; do
  if [ ! -s "$folder/$name" ]; then
    head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$folder/$name"
  fi
  chmod 444 "$folder/$name"
done
