"""The worker's ceiling: what it costs by itself, against a server that answers out of a recording."""
