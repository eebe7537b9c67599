"""What goes wrong, as the scenario's script says."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.member import Member
from tests.simulation.scenario import Fault
from worker.domain.errors import ErrorCode

if TYPE_CHECKING:
    from tests.simulation.world import World

_SLOWER = 40.0
_TRITON = {
    "triton-down": ErrorCode.INFERENCE_UNAVAILABLE,
    "triton-overloaded": ErrorCode.INFERENCE_OVERLOADED,
    "triton-internal": ErrorCode.INFERENCE_FAILED,
}


class FaultScript:
    """Begins faults, and ends them after their time. A fault that meets a worker which is not there passes."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._weather = world.weather
        self._versions = 1
        self._ways: dict[str, Callable[[Fault], Callable[[], None] | None]] = {
            "kill": self._kill,
            "stop": self._stop,
            "stall": self._stall,
            "lose": self._lose,
            "rebalance": self._rebalance,
            "commits-refused": self._refuse_commits,
            "corrupt-metadata": self._garble_metadata,
            "topic-made-anew": self._make_topic_anew,
            "broker-away": self._take_broker_away,
            "sends-refused": self._refuse_sends,
            "acks-lost": self._lose_acknowledgements,
            "slow-acks": self._slow_acknowledgements,
            "triton-down": self._trouble_triton,
            "triton-overloaded": self._trouble_triton,
            "triton-internal": self._trouble_triton,
            "slow-inference": self._slow_inference,
            "new-models": self._serve_new_models,
        }

    def begin(self, fault: Fault) -> None:
        """Let it go wrong."""
        self._world.trace.note("world", "fault begins", fault)
        ending = self._ways[fault.kind](fault)
        if ending is not None:
            self._world.later(fault.lasts_seconds, self._end, fault, ending)

    def _end(self, fault: Fault, ending: Callable[[], None]) -> None:
        self._world.trace.note("world", "fault ends", fault.kind)
        ending()

    def _there(self, fault: Fault) -> Member | None:
        member = self._world.members[fault.worker]
        return member if member.process.alive and not member.process.frozen and not member.task.done() else None

    # Workers and their partitions.

    def _kill(self, fault: Fault) -> Callable[[], None] | None:
        member = self._there(fault)
        if member is None:
            return None
        kill = partial(self._world.kill, fault.worker, "from outside", away_seconds=fault.lasts_seconds)
        return self._at_once_or_in_a_send(fault, member, kill)

    def _at_once_or_in_a_send(self, fault: Fault, member: Member, act: Callable[[], object]) -> Callable[[], None]:
        if fault.share < 1:
            self._weather.ambushes[member.name] = act
        else:
            act()
        return partial(self._call_off, member)

    def _call_off(self, member: Member) -> None:
        self._weather.ambushes.pop(member.name, None)

    def _stop(self, fault: Fault) -> None:
        member = self._there(fault)
        if member is not None:
            member.away_seconds = fault.lasts_seconds
            member.stopping.set()

    def _stall(self, fault: Fault) -> Callable[[], None] | None:
        member = self._there(fault)
        if member is None:
            return None
        call_off = self._at_once_or_in_a_send(fault, member, partial(self._freeze, member))
        return partial(self._wake, member, call_off)

    def _freeze(self, member: Member) -> None:
        self._world.trace.note(member.name, "stands still")
        member.process.freeze()
        self._world.later(self._world.plan.tuning.session_seconds, self._miss, member)

    @staticmethod
    def _wake(member: Member, call_off: Callable[[], None]) -> None:
        call_off()
        member.process.thaw()

    def _miss(self, member: Member) -> None:
        if member.process.frozen and member.in_group:
            self._world.coordinator.put_out(member)

    def _lose(self, fault: Fault) -> None:
        member = self._there(fault)
        if member is not None and member.in_group:
            self._world.coordinator.lose(member, member.held[:: 1 if fault.share == 1 else 2])

    def _rebalance(self, _fault: Fault) -> None:
        self._world.coordinator.changed()

    # The broker.

    def _refuse_commits(self, _fault: Fault) -> Callable[[], None]:
        self._world.judge.excuse("commits were refused")
        members = list(self._world.members)
        for member in members:
            member.source.refuses_commits = True
        return partial(self._take_commits, members)

    @staticmethod
    def _take_commits(members: list[Member]) -> None:
        for member in members:
            member.source.refuses_commits = False

    def _garble_metadata(self, fault: Fault) -> Callable[[], None]:
        """Spoil what is handed over, and see to it that something is."""
        self._weather.metadata_garbled = True
        self._lose(fault)
        return partial(setattr, self._weather, "metadata_garbled", False)

    def _make_topic_anew(self, fault: Fault) -> None:
        """Do so under living workers, or while none is there to notice."""
        for slot in range(len(self._world.members) if fault.share < 1 else 0):
            self._world.kill(slot, "before its topic is made anew", away_seconds=fault.lasts_seconds)
        self._world.recreate_jobs_topic()

    def _take_broker_away(self, fault: Fault) -> Callable[[], None]:
        self._world.broker.reachable = False
        return partial(self._bring_broker_back, self._refuse_commits(fault))

    def _bring_broker_back(self, accept_commits: Callable[[], None]) -> None:
        self._world.broker.reachable = True
        accept_commits()

    def _refuse_sends(self, fault: Fault) -> Callable[[], None]:
        self._weather.sends_refused = fault.share
        return partial(setattr, self._weather, "sends_refused", 0.0)

    def _lose_acknowledgements(self, fault: Fault) -> Callable[[], None]:
        self._weather.acks_lost = fault.share
        return partial(setattr, self._weather, "acks_lost", 0.0)

    def _slow_acknowledgements(self, _fault: Fault) -> Callable[[], None]:
        usual_seconds = self._world.plan.tuning.ack_seconds
        self._weather.ack_seconds = usual_seconds * _SLOWER
        return partial(setattr, self._weather, "ack_seconds", usual_seconds)

    # Triton.

    def _trouble_triton(self, fault: Fault) -> Callable[[], None]:
        code = _TRITON[fault.kind]
        self._weather.triton[code] = 1.0 if fault.kind == "triton-down" else fault.share
        return partial(self._mend_triton, code)

    def _mend_triton(self, code: ErrorCode) -> None:
        self._weather.triton.pop(code, None)

    def _slow_inference(self, _fault: Fault) -> Callable[[], None]:
        usual_seconds = self._world.plan.tuning.inference_seconds
        self._weather.inference_seconds = usual_seconds * _SLOWER
        return partial(setattr, self._weather, "inference_seconds", usual_seconds)

    def _serve_new_models(self, _fault: Fault) -> None:
        self._versions += 1
        triton = self._world.triton
        triton.models = {name: replace(model, version=str(self._versions)) for name, model in triton.models.items()}
