# The image has the locked dependencies and the package, runs as uid 65532, and writes only below
# /var/lib/watcher. Any base with Python 3.11 and pip 25.3, or newer, will do.
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv --without-pip /opt/watcher
WORKDIR /src
COPY requirements.lock ./
RUN python3 -m pip --python /opt/watcher/bin/python install --no-compile --require-hashes --requirement requirements.lock
COPY pyproject.toml requirements-dev.lock LICENSE README.md ./
COPY watcher watcher
# The lock has the hashes of the build backend, too.
RUN python3 -m pip wheel --no-deps --build-constraint requirements-dev.lock --wheel-dir /dist . \
    && python3 -m pip --python /opt/watcher/bin/python install --no-compile --no-deps /dist/*.whl \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/watcher

FROM ${PYTHON_IMAGE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="watcher" \
      org.opencontainers.image.description="Argo Events generic event source for directories and S3 buckets" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/watcher /opt/watcher
# The base has no bytecode of the standard library, none can be written later, and every health
# check starts Python. The server needs neither pip nor setuid programs.
RUN python3 -m compileall -q --invalidation-mode unchecked-hash -x '/(ensurepip|idlelib|site-packages|test)/' \
        "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && python3 -m pip uninstall --yes --quiet --root-user-action=ignore pip \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && install --directory --owner=65532 --group=65532 --mode=0700 /var/lib/watcher
# Listening beyond loopback requires allow flags, which only the operator knows:
# `docker run … watcher serve --allow-directory /data`.
# MALLOC_ARENA_MAX: one arena for each thread would cost 15 MB more with large listings.
# SQLITE_TMPDIR: with a read-only root, large sorts of SQLite have no other place for their files.
ENV PATH=/opt/watcher/bin:$PATH \
    MALLOC_ARENA_MAX=2 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SQLITE_TMPDIR=/var/lib/watcher \
    WATCHER_LISTEN=0.0.0.0:8080 \
    WATCHER_HTTP=0.0.0.0:8081 \
    WATCHER_STATE=/var/lib/watcher
USER 65532:65532
VOLUME /var/lib/watcher
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["watcher", "healthcheck"]
ENTRYPOINT ["watcher"]
CMD ["serve"]
