"""Adapters to Kafka, Triton, blob stores and so on: each folder alone imports its SDK and translates its errors."""
