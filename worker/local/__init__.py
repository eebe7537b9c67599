"""The embedded stack: a real Kafka broker and a real Triton server, fetched once, run without containers."""
