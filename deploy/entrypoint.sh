#!/bin/sh
# Start a container: migrate the schema first, then replace this process by the program, so that signals reach
# it.
set -eu

refuse() { echo "The program can't start. $1" >&2; exit 1; }

# Refuse anything but a whole number in range: refuse_unless_number NAME VALUE LARGEST
refuse_unless_number() {
    case "$2" in
        '' | *[!0-9]* | ???????*) ;;
        *) if [ "$2" -ge 1 ] && [ "$2" -le "$3" ]; then return; fi ;;
    esac
    refuse "$1: must be a whole number from 1 to $3 (it is '$2')"
}

if [ "$1" = uvicorn ]; then
    # The server reads these itself, and would answer a wrong value with a traceback.
    refuse_unless_number PORT "$PORT" 65535
    export UVICORN_PORT="$PORT" WEB_CONCURRENCY="${WEB_CONCURRENCY:-1}"
    refuse_unless_number WEB_CONCURRENCY "$WEB_CONCURRENCY" 256
    mkdir -p "$CACHE_DIR" || refuse "CACHE_DIR: $CACHE_DIR can't be made"
    case "$MIGRATE_ON_START" in
        true) python create_tables.py ;;
        false) ;;
        *) refuse "MIGRATE_ON_START: must be true or false (it is '$MIGRATE_ON_START')" ;;
    esac
    # The server's lines have the program's form from the first line on.
    export UVICORN_LOG_CONFIG="${UVICORN_LOG_CONFIG:-deploy/uvicorn_log.json}"
    case " $* ${UVICORN_HOST:+--host} " in
        *" --host"* | *" --uds"* | *" --fd"*) ;;
        *)
            # Listen on both versions of IP. One process opens two sockets; several processes share one socket
            # for both.
            if [ "$WEB_CONCURRENCY" = 1 ]; then set -- "$@" --host ""
            elif [ -e /proc/net/if_inet6 ]; then set -- "$@" --host ::
            else set -- "$@" --host 0.0.0.0
            fi
            ;;
    esac
fi
exec "$@"
