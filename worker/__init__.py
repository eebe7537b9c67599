"""Labelwire: reads shipping labels off a Kafka topic through NVIDIA Triton."""

__version__ = "0.1.0"
