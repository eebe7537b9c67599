"""The bench on a GPU: the same pictures in each precision, next to a floor of throughput and latency."""
