"""Behaviour of aggregator.storage."""
