# The images of the tasks on Kubeflow Pipelines: dependency line tfx-1.21, and one without TensorFlow.
#
#   make image                                   or: docker build --tag covers .
#   make image SMALL_TASKS=1                     or: docker build --target small-tasks --tag ... .
#   BASE: any image with apt, glibc 2.38 or newer and Python 3.11 to 3.13 (Debian 13, Ubuntu 24.04)
#   WITH_CUDA: if not empty, NVIDIA's libraries for TensorFlow are installed as well
ARG BASE=debian:13-slim

FROM ${BASE} AS tools
# Set these two to a mounted bundle if a proxy re-signs TLS; if unset, the usual roots are used.
ARG SSL_CERT_FILE
ARG PIP_CERT
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv ca-certificates
WORKDIR /build
COPY requirements/tfx-1.21-image.txt requirements.txt
# uv, too, is installed with the lock's version and hashes; it does not stay in the environment.
RUN python3 -m venv --without-pip /opt/covers && python3 -m venv /opt/uv \
    && awk '/^uv==/ { on = 1 } on { print } on && !/\\$/ { exit }' requirements.txt > uv.txt \
    && /opt/uv/bin/pip install --quiet --no-cache-dir --require-hashes --requirement uv.txt \
    && sed --in-place '/^uv==/,/[^\\]$/d' requirements.txt

FROM ${BASE} AS runtime
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 ca-certificates \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && useradd --uid 1000 --no-create-home --home-dir /tmp covers \
    # Where the launcher of Kubeflow Pipelines stages artifacts: any user may write, as OpenShift picks one.
    && mkdir --mode=1777 /minio /s3 /gcs
ENV PATH=/opt/covers/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1
USER 1000
WORKDIR /tmp
CMD ["covers", "--help"]

FROM tools AS small-tasks-builder
ARG SSL_CERT_FILE
COPY requirements/small-tasks.txt ./
RUN /opt/uv/bin/uv pip sync --quiet --no-cache --link-mode=copy --python /opt/covers/bin/python \
        --require-hashes small-tasks.txt
COPY setup.py README.md ./
COPY schema schema
COPY components components
COPY pipeline pipeline
RUN /opt/uv/bin/uv pip install --quiet --no-cache --python /opt/covers/bin/python --no-deps \
        --no-build-isolation .

FROM runtime AS small-tasks
COPY --from=small-tasks-builder /opt/covers /opt/covers

FROM tools AS builder
ARG SSL_CERT_FILE
RUN /opt/uv/bin/uv pip sync --quiet --no-cache --link-mode=copy --python /opt/covers/bin/python \
        --require-hashes --build-constraints requirements.txt requirements.txt \
    && find /opt/covers/lib -type d -name tests -prune -exec rm -rf {} + \
    && rm -rf /opt/covers/lib/python3.*/site-packages/tensorflow/include
ARG WITH_CUDA
COPY requirements/cuda.txt ./
# TensorFlow itself is there already, in the version of both locks.
RUN [ -z "$WITH_CUDA" ] || /opt/uv/bin/uv pip install --quiet --no-cache --link-mode=copy \
        --python /opt/covers/bin/python --require-hashes --requirement cuda.txt
COPY setup.py README.md ./
COPY schema schema
COPY components components
COPY pipeline pipeline
RUN /opt/uv/bin/uv pip install --quiet --no-cache --python /opt/covers/bin/python --no-deps \
        --no-build-isolation .

FROM runtime
COPY --from=builder /opt/covers /opt/covers
