"""The page on topics says what `labelwire topics` does."""

import re
from pathlib import Path

from worker.adapters.kafka.topics import DAY_MS, DEFAULT_MAX_MESSAGE_BYTES, DEFAULT_PARTITIONS, wanted_topics
from worker.settings import TopicSettings

PAGE = (Path(__file__).parents[2] / "docs" / "topics.md").read_text(encoding="utf-8")


def test_the_page_shows_each_topic_as_it_has_to_be() -> None:
    section = PAGE.partition("## What each topic has to be")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in re.findall(r"^\| `.*$", section, re.MULTILINE)]
    shown = [[row[0], *row[2:]] for row in rows]

    wanted = wanted_topics(TopicSettings(), DEFAULT_PARTITIONS, DEFAULT_MAX_MESSAGE_BYTES)
    assert shown == [
        [
            f"`{each.name}`",
            str(each.partitions),
            f"`{each.configs['cleanup.policy']}`",
            f"≥ {each.floors['retention.ms'] / DAY_MS} days" if "retention.ms" in each.floors else "yours",
            f"≥ {each.floors['max.message.bytes']}" if "max.message.bytes" in each.floors else "yours",
        ]
        for each in wanted
    ]
