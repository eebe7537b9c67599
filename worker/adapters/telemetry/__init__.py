"""Events become log lines and metrics here, and probes read the worker's health."""
