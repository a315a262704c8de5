# denoisebench in a container, for CPUs (the default) or for NVIDIA GPUs:
#   docker build -t denoisebench .
#   docker build -t denoisebench:cuda --build-arg BACKEND=cuda .
#   docker run --rm -v "$PWD/runs:/studies/runs" denoisebench run method=nlm
#   docker run --rm --gpus all -v "$PWD/runs:/studies/runs" denoisebench:cuda run method=neighbor2neighbor budget=quick
ARG PYTHON=3.12

FROM python:${PYTHON}-slim-bookworm AS built
ARG BACKEND=cpu
WORKDIR /source
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY conf conf
COPY src src
# PyTorch's default wheels bring the CUDA libraries; for a CPU a smaller build is asked for.
RUN python -m venv /opt/denoisebench \
 && /opt/denoisebench/bin/pip install --no-cache-dir "$(grep '^uv==' constraints.txt || echo uv)" \
 && case "$BACKEND" in cpu) set -- --torch-backend=cpu ;; cuda) set -- ;; *) echo "BACKEND is cpu or cuda" && exit 1 ;; esac \
 && /opt/denoisebench/bin/uv pip install --no-cache --python /opt/denoisebench/bin/python "$@" -c constraints.txt .

FROM python:${PYTHON}-slim-bookworm
COPY --from=built /opt/denoisebench /opt/denoisebench
RUN useradd --create-home --uid 1000 denoisebench && mkdir /studies /data && chown denoisebench /studies /data
USER 1000
WORKDIR /studies
ENV PATH=/opt/denoisebench/bin:$PATH DENOISEBENCH_DATA=/data
VOLUME ["/data"]
ENTRYPOINT ["denoisebench"]
CMD ["--help"]
