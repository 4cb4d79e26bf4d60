"""What is claimed about speed, as scripts that anyone can run, each beside a baseline of the same run."""
