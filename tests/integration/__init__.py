"""Tests against a real Postgres: storage, ingest, search, operations and the web faces, without a Kubernetes."""
