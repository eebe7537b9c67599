"""An admin client whose last holder is an answered request is not destroyed on the thread of librdkafka."""

import subprocess
import sys

import pytest

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
