# NVIDIA's Triton with a built model repository. From the repository's root:
#   .venv/bin/labelwire models build --profile onnx        (for a GPU: --device gpu; for more cores than two: --cores N)
#   docker build -f docker/triton.Dockerfile -t labelwire-triton:0.1.0 .
# To pin the base by content, pass --build-arg TRITON_IMAGE=nvcr.io/nvidia/tritonserver@sha256:…
ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:25.12-py3

FROM ${TRITON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="labelwire-triton" \
      org.opencontainers.image.description="NVIDIA Triton with Labelwire's models." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY build/model_repository/onnx/ /models/
# Serves the first of several repositories that fits the host: docs/models.md.
COPY worker/models/choice.py /opt/labelwire/choice.py
# triton-server in NVIDIA's image; the models belong to root and cannot be changed by the server.
USER 1000:1000
EXPOSE 8000 8001 8002
# NVIDIA's entrypoint stays: it matches the driver's libraries, then becomes this command.
CMD ["tritonserver", \
     "--model-repository=/models", \
     "--model-control-mode=none", \
     "--disable-auto-complete-config", \
     "--grpc-max-connection-age=300000", \
     "--grpc-keepalive-permit-without-calls=1", \
     "--grpc-http2-min-recv-ping-interval-without-data=20000", \
     "--exit-timeout-secs=30"]
