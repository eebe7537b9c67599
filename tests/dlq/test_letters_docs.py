"""The page on dead letters keeps up with what workers write."""

import re
from pathlib import Path

from tests.dlq.letters import job, written
from worker.domain.headers import DEAD_LETTER_PREFIX

PAGE = Path(__file__).parents[2] / "docs" / "dead-letters.md"


def test_the_page_lists_every_header_of_a_dead_letter_in_its_order() -> None:
    listed = re.findall(rf"^\| `({re.escape(DEAD_LETTER_PREFIX)}[^`]+)` \|", PAGE.read_text(), re.MULTILINE)

    assert listed == [name for name, _ in written(job(1)).headers if name.startswith(DEAD_LETTER_PREFIX)]
