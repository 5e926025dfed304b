# One image for each service: docker build --build-arg SERVICE=ipam .
# SERVICE: a folder of services/ (cli, watcher, network-selector, ipam, ecmp-programmer).
# BASE_IMAGE: any image with CPython 3.11 as "python" in /usr/local, pip, and the certificate authorities that pip needs.
ARG BASE_IMAGE=python:3.11-slim-bookworm

# What runs, by hash. It does not depend on the service, so it is built and stored once.
FROM ${BASE_IMAGE} AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements.lock /build/
RUN python -m pip install -q --require-hashes --only-binary :all: --no-deps --prefix /packages -r /build/requirements.lock

# The service and the members of the workspace that it depends on, and no others.
FROM packages AS members
COPY requirements-build.lock /build/
RUN python -m pip install -q --require-hashes --only-binary :all: --no-deps -r /build/requirements-build.lock
COPY scripts/members.py /build/scripts/
COPY libs /build/libs
COPY services /build/services
ARG SERVICE
RUN python -m pip install -q --no-deps --no-index --no-build-isolation --prefix /members \
        $(python /build/scripts/members.py "${SERVICE:?name a folder of services/}") && \
    ln -s "$(python /build/scripts/members.py --command "$SERVICE")" /members/bin/ledgerlb-service

FROM ${BASE_IMAGE}
RUN python -m pip uninstall -q -y pip setuptools wheel 2>/dev/null; \
    useradd --uid 10001 --user-group --home-dir /var/lib/ledgerlb --create-home --shell /usr/sbin/nologin ledgerlb
COPY --from=packages /packages /usr/local
COPY --from=members /members /usr/local
ARG SERVICE
LABEL org.opencontainers.image.title="ledgerlb-${SERVICE}" org.opencontainers.image.licenses="Apache-2.0"
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /var/lib/ledgerlb
USER 10001:10001
ENTRYPOINT ["ledgerlb-service"]
