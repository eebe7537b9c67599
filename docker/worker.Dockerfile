# The worker: python:slim, the locked dependencies, the wheel. From the repository's root:
#   docker build -f docker/worker.Dockerfile -t labelwire-worker:0.1.0 .
# To pin the base by content, pass --build-arg PYTHON_IMAGE=python@sha256:…
ARG PYTHON_IMAGE=python:3.12.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# PKG_CONFIG=false keeps pyvips from being built against a libvips of the base: pyvips-binary brings its own.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PKG_CONFIG=false
WORKDIR /src
# The environment that is shipped holds no pip, and nothing that only builds.
RUN ["python", "-m", "venv", "--without-pip", "/opt/labelwire"]
RUN ["python", "-m", "venv", "--without-pip", "/opt/build"]
COPY docker/worker.lock.txt docker/source.lock.txt docker/build.lock.txt docker/
RUN ["pip", "--python", "/opt/labelwire/bin/python", "install", "--no-deps", "--require-hashes", "--only-binary=:all:", "-r", "docker/worker.lock.txt"]
RUN ["pip", "--python", "/opt/build/bin/python", "install", "--no-deps", "--require-hashes", "--only-binary=:all:", "-r", "docker/build.lock.txt"]
RUN ["pip", "--python", "/opt/build/bin/python", "wheel", "--no-deps", "--require-hashes", "--no-binary=:all:", "--no-build-isolation", "--wheel-dir", "dist", "-r", "docker/source.lock.txt"]
COPY pyproject.toml README.md LICENSE ./
COPY model_repository/ model_repository/
COPY worker/ worker/
RUN ["pip", "--python", "/opt/build/bin/python", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", "dist", "."]
RUN ["pip", "--python", "/opt/labelwire/bin/python", "install", "--no-deps", "--no-index", "--find-links", "dist", "labelwire", "pyvips"]
RUN ["pip", "--python", "/opt/labelwire/bin/python", "check"]

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="labelwire-worker" \
      org.opencontainers.image.description="Reads shipping labels off a Kafka topic through NVIDIA Triton." \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/labelwire/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONFAULTHANDLER=1 GRPC_VERBOSITY=ERROR
# Nothing is installed in a container that runs.
RUN ["python", "-m", "pip", "uninstall", "--quiet", "--yes", "--root-user-action=ignore", "pip"]
COPY --from=build /opt/labelwire /opt/labelwire
# Writes nowhere but to /tmp: the root file system may be read-only. Probes: /livez and /readyz on 8080.
WORKDIR /tmp
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["labelwire"]
CMD ["run"]
