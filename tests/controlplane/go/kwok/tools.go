//go:build tools

// Package tools pins the command that the test control plane is built from.
package tools

import _ "sigs.k8s.io/kwok/cmd/kwok"
