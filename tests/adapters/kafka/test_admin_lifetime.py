"""What would end the process in librdkafka's admin client: where it is destroyed, and what it is asked."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import worker

PROGRAM = """
import sys
import threading
import time
import weakref

from confluent_kafka.admin import ConfigResource, ResourceType

from worker.adapters.kafka.admin import admin_client
from worker.adapters.kafka.topic_ids import topic_ids_of
from worker.settings import KafkaSettings

NOWHERE = "127.0.0.1:1"
clients = {
    "admin": lambda: admin_client(NOWHERE, None),
    "topic ids": lambda: topic_ids_of(KafkaSettings(bootstrap_servers=NOWHERE, group_id="group"))._client,
}
holder = [clients[sys.argv[1]]()]
seen = weakref.ref(holder[0])
answered = threading.Event()


def answer(_future):
    holder.clear()
    answered.set()


asked = holder[0].describe_configs([ConfigResource(ResourceType.TOPIC, "jobs")], request_timeout=0.3)
for future in asked.values():
    future.add_done_callback(answer)
assert answered.wait(30), "the request never ended"
deadline = time.monotonic() + 30
while seen() is not None and time.monotonic() < deadline:
    time.sleep(0.1)
assert seen() is None, "the client was never destroyed"
"""


@pytest.mark.parametrize("which", ["admin", "topic ids"])
def test_a_client_is_destroyed_though_its_last_holder_is_an_answered_request(which: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, which], capture_output=True, text=True, timeout=90, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_no_admin_client_asks_a_groups_coordinator() -> None:
    """librdkafka's issue 3663: the process ends where the coordinator comes back after such a request has timed out."""
    asks_coordinator = re.compile(r"\.(?:(?:describe|delete)_consumer_groups|(?:list|alter)_consumer_group_offsets)\b")
    sources = list(Path(worker.__file__).parent.rglob("*.py"))
    assert len(sources) > 100
    assert [str(source) for source in sources if asks_coordinator.search(source.read_text())] == []
