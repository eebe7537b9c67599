"""`make parity DATA=DIR`: do the profiles read the same? Exit 1 if their word F1 is over 0.002 apart."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.parity.profiles import MAX_APART, triton, word_f1
from worker.lab.evaluation.dataset import load
from worker.lab.evaluation.in_process import InProcessBackend
from worker.local.stack import provision_triton
from worker.local.triton import TritonServer
from worker.models.build import build_repository
from worker.models.profiles import select_profile


def main() -> int:
    """Build both profiles, read with both, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with pictures and truth.jsonl")
    parser.add_argument("--repository", type=Path, help="a built onnx repository; one for a CPU is built else")
    chosen = parser.parse_args()
    dataset, built = load(chosen.data), Path("build/model_repository")
    onnx = chosen.repository or build_repository(select_profile("onnx", device="cpu"), built / "onnx-cpu")
    provision_triton()
    with (
        tempfile.TemporaryDirectory() as folder,
        TritonServer(build_repository("embedded", built / "embedded"), run_dir=Path(folder)) as server,
    ):
        embedded = asyncio.run(word_f1(dataset, triton(server.grpc_url)))
    other = asyncio.run(word_f1(dataset, InProcessBackend(onnx)))
    apart = abs(embedded - other)
    sys.stdout.write(
        f"word F1 of {len(dataset.samples)} pictures: embedded {embedded:.5f}, {onnx} {other:.5f}, {apart:.5f} apart "
        f"(at most {MAX_APART})\n"
    )
    return int(apart > MAX_APART)


if __name__ == "__main__":
    sys.exit(main())
