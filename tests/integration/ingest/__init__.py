"""Behaviour of aggregator.ingest."""
