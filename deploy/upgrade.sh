#!/bin/sh
# Upgrade a running compose deployment to the version in this folder, without refusing a request. First
# migrate the schema while the old API serves, then start the new API beside the old one, then stop the old
# one. If a step fails, the upgrade ends and the containers that ran before still run.
set -eu
cd "$(dirname "$0")/.."

old=$(docker compose ps -q api)
if [ -z "$old" ]; then
    echo "No API runs here that could be upgraded. Start this version by: docker compose up -d --build" >&2
    exit 1
fi
replicas=$(echo "$old" | grep -c .)
docker compose build
docker compose up -d --wait migrate
docker compose up -d --no-recreate --wait --scale api=$((replicas * 2))
docker stop $old
docker rm $old
docker compose up -d --wait --scale api="$replicas"
