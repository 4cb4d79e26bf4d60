"""Tests against real API servers: whole programs, from a kubeconfig to what a person reads."""
