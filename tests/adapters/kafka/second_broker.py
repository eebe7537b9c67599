"""A second broker, so that a topic can have two replicas and lose one."""

from pathlib import Path

from worker.local.kafka import KafkaServer


class SecondBroker(KafkaServer):
    """Joins the cluster of a first broker that runs, and is no controller."""

    name = "second-kafka"
    node_id = 2

    def __init__(self, first: KafkaServer, run_dir: Path) -> None:
        super().__init__(run_dir=run_dir)
        self._first = first

    def _write_properties(self) -> Path:
        path = super()._write_properties()
        first = self._first.log_path.parent / "server.properties"
        quorum = next(line for line in first.read_text().splitlines() if line.startswith("controller.quorum.voters="))
        own = {
            "process.roles": "process.roles=broker",
            "node.id": f"node.id={self.node_id}",
            "controller.quorum.voters": quorum,
            "listeners": f"listeners=PLAINTEXT://{self.bootstrap_servers}",
        }
        lines = path.read_text().splitlines()
        path.write_text("\n".join(own.get(line.partition("=")[0], line) for line in lines) + "\n")
        return path

    def _cluster_id(self) -> str:
        meta = (self._first.log_path.parent / "data" / "meta.properties").read_text().splitlines()
        return next(line for line in meta if line.startswith("cluster.id=")).partition("=")[2]
