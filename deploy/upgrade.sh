#!/bin/sh
# Brings a running compose deployment to the version in this folder, with no request refused: the schema first, while the
# old API serves; then the new API beside the old; then the old goes. What fails ends it, with what ran before still there.
set -eu
cd "$(dirname "$0")/.."

docker compose build
docker compose up -d --wait migrate
old=$(docker compose ps -q api)
replicas=$(echo "$old" | grep -c .)
docker compose up -d --no-recreate --wait --scale api=$((replicas * 2))
docker stop $old
docker rm $old
docker compose up -d --wait --scale api="$replicas"
