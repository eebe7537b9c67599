"""Where readings are kept: in this process, or in a Redis."""
