# The service in two stages: the first builds, the second runs as an ordinary user and has
# no compiler, no pip and no source tree.
#
# With a network:     docker build -t ocean-compute .
# Without one:        make image     (puts ready-made packages into .cache/wheels first)

FROM python:3.11-slim-bookworm AS builder
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/ocean-compute
WORKDIR /src
# The packages that the service needs change rarely: a layer of their own.
COPY setup.cfg pyproject.toml scripts/requirements.py .cache/wheel[s] /src/
RUN python3 requirements.py . > requirements.txt \
    && if ls *.whl > /dev/null 2>&1; then offline="--no-index --find-links ."; fi \
    && /opt/build/bin/python -m pip install --quiet $offline -r requirements.txt
COPY README.md LICENSE ./
COPY provider ./provider
COPY compute ./compute
RUN /opt/build/bin/python -m pip install --quiet --no-index --no-deps --no-build-isolation . \
    && /opt/build/bin/python -m pip uninstall --quiet --yes setuptools pip \
    && cp -r /opt/build/lib/python3.11/site-packages/. /opt/ocean-compute/lib/python3.11/site-packages/ \
    && sed '1s,/opt/build/,/opt/ocean-compute/,' /opt/build/bin/ocean-compute > /opt/ocean-compute/bin/ocean-compute \
    && chmod 755 /opt/ocean-compute/bin/ocean-compute \
    && /opt/ocean-compute/bin/python -m compileall -q /opt/ocean-compute/lib

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
    CMD ["python3", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['LISTEN_PORT'] + '/', timeout=4)"]
ENTRYPOINT ["ocean-compute"]
CMD ["serve"]
