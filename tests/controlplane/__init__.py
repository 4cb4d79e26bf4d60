"""A real Kubernetes for tests: etcd, API server, controller-manager, scheduler and kwok, built here and run on loopback."""
