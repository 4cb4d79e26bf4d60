"""One file per family of types: the Python dicts from which the byte templates of simulated objects are compiled."""
