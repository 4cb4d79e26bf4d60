"""Member clusters' API servers, many in one process: what they hold, how it changes, and the HTTP face of each."""
