#!/bin/sh
# What a container starts with: the schema first, then the program in this process's place, so that signals reach it.
set -eu

if [ "$1" = uvicorn ]; then
    export UVICORN_PORT="$PORT"
    mkdir -p "$CACHE_DIR"
    case "$MIGRATE_ON_START" in
        true) python create_tables.py ;;
        false) ;;
        *) echo "The program can't start. MIGRATE_ON_START: must be true or false (it is '$MIGRATE_ON_START')" >&2; exit 1 ;;
    esac
fi
exec "$@"
