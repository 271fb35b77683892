# One image for every Mainstem process; the command says which: gateway, worker, api, dashboard,
# mcp, migrate. It holds every extra that a setting can ask for (tests/tidy/test_production.py).

FROM python:3.13.5-slim-bookworm AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never \
    PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN pip install uv==0.13.9
WORKDIR /build
COPY pyproject.toml uv.lock README.md LICENSE ./
# What is locked first, so that a change of ours does not install it again.
RUN UV_PROJECT_ENVIRONMENT=/opt/mainstem uv sync --frozen --no-default-groups --no-install-project \
    --extra gateway --extra streams --extra dashboard --extra redis --extra telemetry \
    --extra mcp --extra apprise
COPY analytics analytics
COPY gateway gateway
COPY streams streams
COPY apps apps
RUN UV_PROJECT_ENVIRONMENT=/opt/mainstem uv sync --frozen --no-default-groups --no-editable \
    --extra gateway --extra streams --extra dashboard --extra redis --extra telemetry \
    --extra mcp --extra apprise

FROM python:3.13.5-slim-bookworm
LABEL org.opencontainers.image.title="Mainstem" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/mainstem/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    MAINSTEM_HOME=/var/lib/mainstem
RUN groupadd --gid 10001 mainstem \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/mainstem mainstem \
    && install -d -m 0700 -o mainstem -g mainstem /var/lib/mainstem \
    && pip uninstall --yes --quiet pip
COPY --from=build /opt/mainstem /opt/mainstem
USER 10001:10001
WORKDIR /var/lib/mainstem
STOPSIGNAL SIGTERM
ENTRYPOINT ["mainstem"]
CMD ["--help"]
