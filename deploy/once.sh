#!/bin/sh
# Run a command once, then stay, because `docker compose up --wait` takes a container that ended for a failed
# one.
set -eu

"$@"
touch /tmp/done
trap 'exit 0' TERM INT
sleep infinity &
wait
