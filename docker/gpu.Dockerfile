# ganzoo for training on NVIDIA GPUs; the CUDA libraries come with TensorFlow, the driver from the host's container toolkit.
#   docker build -f docker/gpu.Dockerfile -t ganzoo-gpu .
#   docker run --rm --gpus all -v "$PWD:/work" -w /work ganzoo-gpu train dcgan/lorelei-64 -o runs/a
# For production pin the base image: --build-arg BASE=python:3.11-slim@sha256:..., as in cpu.Dockerfile.
ARG BASE=python:3.11-slim
FROM ${BASE}

ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /src
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY ganzoo ganzoo
COPY zoo_configs zoo_configs
RUN pip install --no-cache-dir '.[gpu,serve,tensorboard,video]' && useradd --create-home ganzoo

USER ganzoo
WORKDIR /home/ganzoo
ENTRYPOINT ["ganzoo"]
CMD ["doctor", "env"]
