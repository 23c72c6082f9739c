# ganzoo with its server, on CPUs. From the root of a clone:
#   docker build -f docker/cpu.Dockerfile -t ganzoo . && docker run --rm -p 8501:8501 ganzoo
# For production pin the base image: --build-arg BASE=python:3.11-slim@sha256:..., the digest that
# `docker buildx imagetools inspect python:3.11-slim` says.
ARG BASE=python:3.11-slim
FROM ${BASE}

WORKDIR /src
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY ganzoo ganzoo
COPY zoo_configs zoo_configs
RUN pip install --no-cache-dir '.[serve]' && useradd --create-home ganzoo

USER ganzoo
WORKDIR /home/ganzoo
EXPOSE 8501
HEALTHCHECK --start-period=120s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/readyz', timeout=5)"]
ENTRYPOINT ["ganzoo"]
CMD ["serve", "dcgan", "pix2pix", "--host", "0.0.0.0"]
