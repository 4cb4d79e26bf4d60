# The agent alone: runs in a member cluster, reads its API server, pushes outward. No root, no shell needed, read-only.
FROM python:3.11-slim AS build
WORKDIR /source
COPY pyproject.toml README.md ./
COPY schema schema
COPY agent agent
# The other packages of the distribution are not carried: the agent imports `schema` only.
RUN python -m venv /app && /app/bin/pip install --no-cache-dir '.[agent]'

FROM python:3.11-slim
COPY --from=build /app /app
USER 65532:65532
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
ENTRYPOINT ["/app/bin/fleetpedia-agent"]
