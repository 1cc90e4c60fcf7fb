# Build the program as a container: `docker build -t task-platform .`
#
# The tags name Python's minor version and Debian's release, so a new build takes in their security fixes.
# Packages and their dependencies (constraints.txt) are pinned exactly.

FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# pg_dump makes backups of Postgres, pg_restore and psql restore them; the rest of their package is left out.
RUN apt-get update && apt-get install -y --no-install-recommends binutils postgresql-client-17 && python -m venv --without-pip /opt/venv
COPY requirements.txt constraints.txt /build/
# Tests of packages and debugging symbols of libraries are not needed at run time.
RUN pip --python /opt/venv/bin/python install --only-binary :all: -r /build/requirements.txt \
    && find /opt/venv -type d -name tests -prune -exec rm -rf {} + \
    && find /opt/venv -name '*.so' -not -path '*.libs/*' -exec strip --strip-debug {} +
COPY . /app
# Modules are compiled here, because nothing may be written beside the code at run time.
RUN /opt/venv/bin/python -m compileall -q /app


# The image that makes the secrets of a compose deployment. It is separate, so that a new version of the
# program does not change it: compose would then restart the database too.
FROM python:3.13-slim-trixie AS secrets
RUN install --directory --owner 10001 --group 0 /secrets
COPY deploy/make_secrets.py deploy/once.sh /app/deploy/
USER 10001:0
ENTRYPOINT ["/app/deploy/once.sh"]
CMD ["python", "/app/deploy/make_secrets.py", "/secrets"]


# The trial mail server for the compose profile `mail`, which is not in the program's image.
FROM python:3.13-slim-trixie AS mail
ENV PYTHONUNBUFFERED=1
RUN pip install --disable-pip-version-check --no-cache-dir --root-user-action ignore aiosmtpd==1.4.6
COPY deploy/mail_catcher.py /
USER 10001:0
EXPOSE 1025 8025
CMD ["python", "/mail_catcher.py"]


FROM python:3.13-slim-trixie
# The user is in root's group, which may write /data, so that any user id that a platform chooses works too.
RUN useradd --uid 10001 --gid 0 --no-create-home --home-dir /data --shell /usr/sbin/nologin app \
    && install --directory --owner 10001 --group 0 --mode 0770 /data
COPY --from=build /usr/lib/postgresql/17/bin/pg_dump /usr/lib/postgresql/17/bin/pg_restore \
    /usr/lib/postgresql/17/bin/psql /usr/local/bin/
RUN apt-get update && apt-get install -y --no-install-recommends libedit2 libpq5 && rm -rf /var/lib/apt/lists/* \
    && pg_dump --version && pg_restore --version && psql --version
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
# Without DATABASE_URL the database is in DATA_DIR. SQLite sorts large results in SQLITE_TMPDIR.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DATA_DIR=/data \
    CACHE_DIR=/data/cache \
    LOG_FILE=/data/app.log \
    SQLITE_TMPDIR=/data \
    MIGRATE_ON_START=true \
    PORT=8000
VOLUME /data
EXPOSE 8000
USER 10001:0
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["python", "-I", "/app/deploy/healthcheck.py"]
ENTRYPOINT ["/app/deploy/entrypoint.sh"]
# TRUSTED_PROXIES decides about X-Forwarded-For, so uvicorn's own rule is off. Requests have five of the ten
# seconds after which a container is killed. WEB_CONCURRENCY, if set, is the number of processes. The entry
# point chooses the addresses to listen on. A process that a busy machine lets wait is not killed within the five
# seconds that uvicorn usually gives it, with all that it is answering.
CMD ["uvicorn", "main:app", "--no-proxy-headers", "--no-server-header", "--timeout-graceful-shutdown", "5", \
    "--timeout-worker-healthcheck", "30"]
