"""Tests of Fleetpedia, in tiers by folder (unit, integration, contract, e2e), and the control plane e2e runs on."""
