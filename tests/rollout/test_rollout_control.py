"""What a person does to a rollout, on the real Kafka."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner

from tests.real_kafka import create_topic
from worker.adapters.clock import SystemClock
from worker.cli.canary import app
from worker.domain.errors import BrokerError, JobError, RolloutError
from worker.domain.model_set import ModelSetError
from worker.domain.rollout.state import ControlState, Mode, Phase, RolloutLimits
from worker.local.kafka import KafkaServer
from worker.rollouts.control import RolloutControl, RolloutOrder
from worker.settings import KafkaSettings

ORDER = RolloutOrder("v2", Mode.CANARY, (100, 10_000), RolloutLimits())
COMPACTED = {"cleanup.policy": "compact"}


@pytest.fixture
def control(kafka: KafkaServer, topic: str) -> RolloutControl:
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)
    return RolloutControl(settings, f"{topic}.rollouts", "", SystemClock())


def create(kafka: KafkaServer, topic: str, partitions: int = 1, policy: str = "compact") -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    create_topic(admin, f"{topic}.rollouts", partitions, {"cleanup.policy": policy})


def run(kafka: KafkaServer, topic: str, *arguments: str) -> tuple[int, str, BaseException | None]:
    environment = {
        "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "LABELWIRE_TOPICS__JOBS": topic,
        "LABELWIRE_TRITON__URL": "127.0.0.1:1",
    }
    done = CliRunner().invoke(app, list(arguments), env=environment)
    return done.exit_code, done.output, done.exception


@pytest.mark.real
def test_a_rollout_is_begun_promoted_and_the_next_one_aborted(
    kafka: KafkaServer, topic: str, control: RolloutControl
) -> None:
    create(kafka, topic)
    assert control.read().state == ControlState()
    control.start(ORDER)
    with pytest.raises(RolloutError, match="A rollout of 'v2' runs"):
        control.start(ORDER)
    assert control.in_use(control.promote("it reads well")) == "v2"
    with pytest.raises(RolloutError, match="'v2' is in use already"):
        control.start(ORDER)
    control.start(RolloutOrder("v3", Mode.SHADOW, (10_000,), RolloutLimits()))
    state = control.abort("by hand")

    assert control.read().state == state
    assert state.rollout is not None
    assert (state.in_use, state.rollout.phase, state.rollout.replaced) == ("v2", Phase.ABORTED, "v2")
    code, shown, _ = run(kafka, topic, "status")
    assert code == 0
    assert "shadow 'v3': aborted" in shown
    assert "'v2' is in use" in shown
    with pytest.raises(RolloutError, match="No rollout runs"):
        control.promote("")


@pytest.mark.real
def test_of_several_who_begin_at_once_one_wins_and_the_others_are_told(
    kafka: KafkaServer, topic: str, control: RolloutControl
) -> None:
    create(kafka, topic)

    def begin(name: str) -> str:
        try:
            control.start(RolloutOrder(name, Mode.CANARY, (100, 10_000), RolloutLimits()))
        except RolloutError:
            return ""
        return name

    with ThreadPoolExecutor(4) as threads:
        begun = [name for name in threads.map(begin, ["a", "b", "c", "d"]) if name]

    running = control.read().state.running
    assert running is not None
    assert begun == [running.candidate]


@pytest.mark.real
@pytest.mark.parametrize(
    ("partitions", "policy", "reason"),
    [(0, "", "does not exist"), (1, "delete", "cleanup.policy=delete"), (2, "compact", "2 partitions")],
)
def test_a_topic_that_cannot_hold_the_state_is_named(
    kafka: KafkaServer, topic: str, control: RolloutControl, partitions: int, policy: str, reason: str
) -> None:
    if partitions:
        create(kafka, topic, partitions, policy)

    with pytest.raises(BrokerError, match=reason):
        control.start(ORDER)


@pytest.mark.real
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("start", "V 2"), ModelSetError, "no name of a model set"),
        (("start", "v2", "--steps", "5,1"), RolloutError, "ascending"),
        (("start", "v2", "--steps", "1,200"), RolloutError, "up to 100"),
        (("start", "v2", "--steps", "a,b"), RolloutError, "no shares"),
        (("start", "v2", "--steps", "100"), RolloutError, "leaves no job"),
        (("start", "v2", "--max-error-rate", "0"), RolloutError, "--max-error-rate 0.0 cannot be judged by"),
        (("start", "v2", "--min-jobs", "1"), RolloutError, "--min-jobs 1 cannot be judged by"),
        (("start", "v2"), JobError, "127.0.0.1:1"),
        (("promote",), RolloutError, "No rollout runs"),
        (("abort",), RolloutError, "No rollout runs"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence_and_changes_nothing(
    kafka: KafkaServer,
    topic: str,
    control: RolloutControl,
    arguments: tuple[str, ...],
    error: type[Exception],
    words: str,
) -> None:
    create(kafka, topic)

    code, _, raised = run(kafka, topic, *arguments)

    assert code == 1
    assert isinstance(raised, error)
    assert words in str(raised)
    assert control.read().state == ControlState()
