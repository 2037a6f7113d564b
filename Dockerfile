# One image for all: `fuseboard serve MODULE --host=0.0.0.0` is a function, a source or the relay, by its module.
# Pin the base by its digest where you build (docker build --build-arg PYTHON=python:3.11-slim@sha256:…).
ARG PYTHON=python:3.11-slim

# What requirements.lock names, each file checked by its hash, and the wheel of this project built with it.
FROM ${PYTHON} AS wheels
WORKDIR /src
COPY requirements.lock ./
RUN python -m pip download -q --disable-pip-version-check --require-hashes --only-binary=:all: -r requirements.lock -d /wheels
RUN python -m venv /build && /build/bin/python -m pip install -q --disable-pip-version-check --no-index --find-links=/wheels hatchling editables
COPY pyproject.toml README.md LICENSE ./
COPY fuseboard ./fuseboard
COPY functions ./functions
COPY eventsources ./eventsources
COPY knative ./knative
RUN /build/bin/python -m pip wheel -q --disable-pip-version-check --no-index --no-deps --no-build-isolation -w /wheels .

# What runs, and nothing that builds: only what the project depends on, compiled, without pip.
FROM ${PYTHON} AS app
COPY --from=wheels /wheels /wheels
RUN python -m venv --without-pip /app && python -m pip --python /app/bin/python install -q --disable-pip-version-check --no-index --find-links=/wheels --no-compile fuseboard
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash /app/lib

FROM ${PYTHON}
COPY --from=app /app /app
RUN python -m pip uninstall -q -y --disable-pip-version-check --root-user-action=ignore pip setuptools wheel
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /
EXPOSE 8080
ENTRYPOINT ["/app/bin/fuseboard"]
