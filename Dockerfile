# The service in two stages: the first builds, the second runs as an ordinary user and has
# no compiler, no pip and no source tree.
#
# With a network:     docker build -t ocean-compute:local .
# Without one:        make image     (puts ready-made packages into .cache/wheels first)

FROM python:3.11-slim-bookworm AS builder
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/ocean-compute
WORKDIR /src
# The packages that the service needs change rarely: layers of their own.
COPY setup.cfg pyproject.toml scripts/requirements.py .cache/wheel[s] /wheels/
ENV PIP="/opt/build/bin/python -m pip --quiet --disable-pip-version-check" \
    TARGET="--python /opt/ocean-compute/bin/python"
RUN cd /wheels \
    && if ls *.whl > /dev/null 2>&1; then offline="--no-index --find-links /wheels"; fi \
    && python3 requirements.py . build | xargs -d '\n' $PIP install $offline \
    && python3 requirements.py . runtime | xargs -d '\n' $PIP $TARGET install --compile $offline
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY provider ./provider
COPY compute ./compute
RUN $PIP wheel --no-index --no-deps --no-build-isolation --wheel-dir /dist . \
    && $PIP $TARGET install --compile --no-index --no-deps /dist/*.whl

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 ocean \
    && useradd --uid 10001 --gid ocean --no-create-home --home-dir /data ocean \
    && install -d -o ocean -g ocean /data
COPY --from=builder /opt/ocean-compute /opt/ocean-compute
ENV PATH=/opt/ocean-compute/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    LISTEN_HOST=0.0.0.0 \
    LISTEN_PORT=8030 \
    DATA_DIR=/data
USER ocean
WORKDIR /data
VOLUME /data
EXPOSE 8030
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python3", "-c", "import os, urllib.request as u; u.urlopen('http://' + (os.environ.get('METRICS_LISTEN') or '127.0.0.1:' + os.environ['LISTEN_PORT']) + '/health/live', timeout=4)"]
ENTRYPOINT ["ocean-compute"]
CMD ["serve"]
