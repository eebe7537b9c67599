"""Looking at dead letters: list, show, count and export them. Nothing is written to Kafka."""
