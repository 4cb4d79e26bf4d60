"""A real Kubernetes for tests: etcd, API server, controllers, scheduler and kwok, built here, on loopback."""
