"""Dead letters: what `labelwire dlq` does.

In: records of the dead-letter topic, each parsed once into a `DeadLetter` (`letter.py`), and the filters of a command
(`filters.py`, `selection.py`). `topic.py` reads the topic, `lookup.py` finds one letter by name, and `payload.py` gives
the job inside a letter back as it failed. Out: what `inspect/` shows and exports, and what `replay/` writes to Kafka.
"""
