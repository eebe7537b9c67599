"""Kafka outside any worker: commands that read topics, ask about a group, write records and replay dead letters.

In: settings of the broker, topics and coordinates. Out: records, offsets and positions as values of the domain.
Invariant: nothing here joins a group, so reading changes nothing for those who consume a topic.
"""
