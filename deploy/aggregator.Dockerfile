# The aggregator; carries the agent too, since it can run agents as child processes (`clusters add --kubeconfig`).
FROM python:3.11-slim AS build
WORKDIR /source
COPY pyproject.toml README.md ./
COPY schema schema
COPY agent agent
COPY aggregator aggregator
RUN python -m venv /app && /app/bin/pip install --no-cache-dir '.[agent,aggregator,kubeconfig]'

FROM python:3.11-slim
COPY --from=build /app /app
RUN install -d -o 65532 -g 65532 -m 0700 /data
USER 65532:65532
VOLUME /data
EXPOSE 8443
ENV FLEETPEDIA_DATA=/data FLEETPEDIA_LISTEN=0.0.0.0:8443 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
ENTRYPOINT ["/app/bin/fleetpedia"]
CMD ["serve"]
