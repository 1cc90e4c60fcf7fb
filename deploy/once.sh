#!/bin/sh
# Does a command once, then stays: `docker compose up --wait` takes a container that has ended for one that has failed.
set -eu

"$@"
touch /tmp/done
trap 'exit 0' TERM INT
sleep infinity &
wait
