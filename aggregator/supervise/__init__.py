"""Processes of one machine: `up`, its data folder, and agents that run as children. No SQL, no routes, no policy."""
