# The image of ads-proxy. Needs nothing at run time but the network: read-only root, no capabilities, no root user.
#
#   docker build -t ads-proxy .
#   docker run --rm --read-only -p 127.0.0.1:8080:8080 -e ADS_PROXY_LISTEN=0.0.0.0:8080 ads-proxy demo
#
# The program listens on loopback unless told otherwise: right for a sidecar, whose tool shares its network. Whoever
# publishes a port says so with ADS_PROXY_LISTEN, and says who may call (docs/how-to/configure.md).

FROM python:3.13-slim AS build
WORKDIR /src

# Everything that is installed is in the lock files, by hash; nothing is compiled, and no build runs that is not ours.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/ads-proxy \
 && python -m venv /opt/build \
 && /opt/ads-proxy/bin/pip install --no-cache-dir --require-hashes --only-binary=:all: -r requirements.lock \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes --only-binary=:all: -r requirements-build.lock

COPY pyproject.toml README.md LICENSE amazon_ads_proxy.py ./
COPY proxy ./proxy
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-index --no-build-isolation --wheel-dir /opt/dist . \
 && /opt/ads-proxy/bin/pip install --no-cache-dir --no-deps --no-index /opt/dist/*.whl \
 && /opt/ads-proxy/bin/pip uninstall --yes pip \
 && find /opt/ads-proxy -name 'pip*' -maxdepth 2 -delete


FROM python:3.13-slim
LABEL org.opencontainers.image.title="ads-proxy" \
      org.opencontainers.image.description="A reverse proxy that keeps the Amazon Ads API's login to itself" \
      org.opencontainers.image.licenses="MIT"

# Nothing can be installed into a running container.
RUN rm -rf /usr/local/lib/python3.*/site-packages/pip* /usr/local/lib/python3.*/ensurepip /usr/local/bin/pip* \
           /usr/lib/python3/dist-packages/pip* /usr/lib/python3.*/ensurepip /usr/share/python-wheels /usr/bin/pip*

COPY --from=build /opt/ads-proxy /opt/ads-proxy

# A new volume that is mounted here belongs to the image's user, and so can keep state
# (ADS_PROXY_STATE__URL=file:/var/lib/ads-proxy), named reports (reports.keep.dir), and the authorities that clients trust
# (config/compose/intercept.yml), which any user may read.
RUN install -d -m 0700 -o 65532 -g 65532 /var/lib/ads-proxy/reports \
 && install -d -m 0755 -o 65532 -g 65532 /var/lib/ads-proxy/bundle \
 && install -d -m 0700 -o 65532 -g 65532 /var/lib/ads-proxy

ENV PATH=/opt/ads-proxy/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ADS_PROXY_STATE__URL=memory:

USER 65532:65532
WORKDIR /
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 CMD ["ads-proxy", "healthcheck"]
ENTRYPOINT ["ads-proxy"]
CMD ["serve"]
