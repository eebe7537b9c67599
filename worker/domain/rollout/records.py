"""What the records of the control topic add up to, read in their order.

Invariant: whoever has taken the same records, workers and commands alike, has the same state and evidence.
"""

from worker.domain.rollout.evidence import Evidence, total
from worker.domain.rollout.state import ControlState, from_record


class RolloutRecords:
    """The state, the states of its rollout in their order, and its evidence by step and writer."""

    def __init__(self) -> None:
        self.state = ControlState()
        self.history: list[ControlState] = []
        self._evidence: dict[tuple[int, str], Evidence] = {}

    def take(self, key: str, value: bytes) -> bool:
        """Take a record, and say whether it is a new state. Raises RolloutError for one that is none of a rollout's."""
        record = from_record(key, value)
        rollout = self.state.rollout
        if isinstance(record, ControlState):
            former, self.state = self.state, self.state.follow(record)
            if self.state is former:
                return False
            if rollout is None or self.state.rollout is None or rollout.id != self.state.rollout.id:
                self._evidence, self.history = {}, []
            self.history.append(self.state)
            return True
        if rollout is not None and record.rollout == rollout.id:
            self._evidence[record.step, key.rpartition("/")[2]] = record.evidence
        return False

    @property
    def writers(self) -> int:
        """How many workers have written evidence of the rollout."""
        return len({writer for _, writer in self._evidence})

    def evidence(self, *, without: str = "") -> dict[int, Evidence]:
        """Return the evidence of each step, without that of one writer."""
        steps = {step for step, _ in self._evidence}
        return {
            step: total(seen for (of, writer), seen in self._evidence.items() if of == step and writer != without)
            for step in steps
        }
