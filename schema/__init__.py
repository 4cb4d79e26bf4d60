"""Both contracts, pure: what travels between agent and aggregator, and what the tables hold. No I/O, no clock."""
