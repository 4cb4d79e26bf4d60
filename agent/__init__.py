"""The process beside a member: it watches the member's API server and pushes what changes. Imports `schema` only."""
