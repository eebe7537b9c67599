"""Prints how many symbols the product reads beside zxing-cpp's own call, and at what cost: `python -m tests.barcodes`.

Four kinds of pictures: generated symbols of all formats, at 1 to 4 pixels a module, alone and on a page; synthetic
labels of several conditions; and, where a folder is given, pictures with their text beside them (`--samples DIR`, as
zxing-cpp's `test/samples`) and pictures without any symbol that is known (`--pages DIR`, as receipts). `lost` is what
zxing-cpp reads and the product does not; `wrong` what neither the truth nor zxing-cpp knows.
"""
# ruff: noqa: T201 - it prints

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import zxingcpp

from worker.domain.image import Pixels
from worker.lab.synth.camera import Degradation
from worker.lab.synth.dataset import generate
from worker.pipeline.barcodes.find import find_codes
from worker.pipeline.options import BarcodeOptions

_TIMES = 3
_CONDITIONS = (Degradation.NONE, Degradation.MILD, Degradation.STRONG, Degradation.BLUR, Degradation.FADE)
_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif"})
_LETTERS, _DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"


@dataclass(frozen=True)
class Case:
    """A picture and the texts of its symbols; None where they are not known."""

    kind: str
    pixels: Pixels
    truth: frozenset[str] | None


@dataclass
class Tally:
    """What came of the pictures of a kind; seconds are medians of CPU time, added up."""

    pictures: int = 0
    symbols: int = 0
    read: int = 0
    read_plainly: int = 0
    lost: int = 0
    wrong: int = 0
    seconds: float = 0.0
    plain_seconds: float = 0.0
    lost_texts: list[str] = field(default_factory=list)

    def add(self, case: Case) -> None:
        """Read a picture both ways, by turns."""
        ours, plain = set[str](), set[str]()
        spent: tuple[list[float], list[float]] = [], []
        for _ in range(_TIMES):
            ours = _timed(lambda: {code.text for code in find_codes(case.pixels, BarcodeOptions()).barcodes}, spent[0])
            plain = _timed(lambda: {code.text for code in zxingcpp.read_barcodes(case.pixels)}, spent[1])
        truth = case.truth or frozenset()
        self.pictures += 1
        self.symbols += len(truth)
        self.read += len(truth & ours)
        self.read_plainly += len(truth & plain)
        self.lost += len(plain - ours)
        self.lost_texts += plain - ours
        self.wrong += len(ours - truth - plain)
        self.seconds += statistics.median(spent[0])
        self.plain_seconds += statistics.median(spent[1])


def _timed(read: Callable[[], set[str]], spent: list[float]) -> set[str]:
    started = time.thread_time()
    found = read()
    spent.append(time.thread_time() - started)
    return found


def _contents(chance: random.Random) -> dict[str, str]:
    """Return what may stand in a symbol of each format, by zxing-cpp's names."""
    digits = "".join(chance.choices(_DIGITS, k=13))
    letters = "".join(chance.choices(_LETTERS, k=4))
    return {
        **dict.fromkeys(("Code128", "Code39", "Code93", "TelepenAlpha"), f"{letters}{digits[:6]}"),
        "Codabar": f"A{digits[:9]}B",
        "ITF": digits[:12],
        "EAN13": digits[:12],
        "EAN8": digits[:7],
        "UPCA": digits[:11],
        "UPCE": f"0{digits[:6]}",
        **dict.fromkeys(("DataBarOmni", "DataBarStk"), f"(01)0{digits[:12]}"),
        "DataBarLtd": f"(01)0{digits[:12]}",
        "DataBarExp": f"(01)9{digits[:12]}",
        "DXFilmEdge": f"{chance.randrange(20, 100)}-{chance.randrange(1, 15)}/{chance.randrange(0, 40)}A",
        **dict.fromkeys(("QRCode", "DataMatrix", "Aztec", "PDF417"), f"{letters} {digits} {letters}"),
        **dict.fromkeys(("MicroQRCode", "RMQRCode", "MicroPDF417"), letters),
        "MaxiCode": f"{letters} {digits}",
    }


def generated(count: int, seed: int) -> Iterator[Case]:
    """Yield symbols of all formats in turn, each alone with a narrow border, and on a page with print."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    names = list(_contents(chance))
    for number in range(count):
        name, scale = names[number % len(names)], 1 + number // len(names) % 4
        content = _contents(chance)[name]
        if name in {"DataBarOmni", "DataBarStk", "DataBarLtd", "DataBarExp"}:
            content += _check_digit(content[4:])
        code = zxingcpp.create_barcode(content, zxingcpp.BarcodeFormat[name])
        ink = np.array(code.to_image(scale=scale, add_quiet_zones=False), dtype=np.uint8)
        quiet = np.pad(ink, 10 * scale, constant_values=255)
        [text] = {read.text for read in zxingcpp.read_barcodes(quiet, is_pure=True)} or {content}
        truth = frozenset({text or content})
        yield Case("generated, small", cv2.cvtColor(quiet, cv2.COLOR_GRAY2BGR).astype(np.uint8), truth)
        yield Case("generated, on a page", _on_page(ink, chance), truth)


def _check_digit(digits: str) -> str:
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return str(-total % 10)


def _on_page(ink: Pixels, chance: random.Random) -> Pixels:
    height, width = max(1400, ink.shape[0] + 500), max(1800, ink.shape[1] + 300)
    page = np.full((height, width), 255, dtype=np.uint8)
    for row in range(60, height, 60):
        text = " ".join("".join(chance.choices(_LETTERS, k=7)) for _ in range(8))
        cv2.putText(page, text, (40, row), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0,), 2)
    top, left = chance.randrange(150, height - ink.shape[0] - 150), chance.randrange(100, width - ink.shape[1] - 100)
    page[top - 40 : top + ink.shape[0] + 40, left - 60 : left + ink.shape[1] + 60] = 255
    page[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return np.asarray(cv2.cvtColor(page, cv2.COLOR_GRAY2BGR), dtype=np.uint8)


def labels(count: int, seed: int) -> Iterator[Case]:
    """Yield synthetic labels, in each of a few conditions."""
    for condition in _CONDITIONS:
        for number in range(count):
            label = generate(seed, number, degradation=condition)
            pixels = np.asarray(cv2.imdecode(np.frombuffer(label.image, np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8)
            yield Case(f"labels, {condition.name.lower()}", pixels, frozenset(code.value for code in label.barcodes))


def samples(folder: Path) -> Iterator[Case]:
    """Yield pictures that have a text of the same name beside them."""
    for path in _pictures(folder):
        text = path.with_suffix(".txt")
        if text.exists():
            yield Case("samples", _pixels(path), frozenset({text.read_bytes().decode()}))


def pages(folder: Path) -> Iterator[Case]:
    """Yield pictures of whose symbols nothing is known."""
    return (Case("pages", _pixels(path), None) for path in _pictures(folder))


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _PICTURES)


def _pixels(path: Path) -> Pixels:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f"{path} is no picture that OpenCV reads")
    return np.asarray(pixels, dtype=np.uint8)


def measure(cases: Iterator[Case]) -> dict[str, Tally]:
    """Read all pictures, and return what came of each kind."""
    tallies: dict[str, Tally] = {}
    for case in cases:
        tallies.setdefault(case.kind, Tally()).add(case)
    return tallies


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generated", type=int, default=200)
    parser.add_argument("--labels", type=int, default=20)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--pages", type=Path)
    chosen = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    kinds: list[Iterator[Case]] = [generated(chosen.generated, chosen.seed), labels(chosen.labels, chosen.seed)]
    kinds += [samples(chosen.samples)] if chosen.samples else []
    kinds += [pages(chosen.pages)] if chosen.pages else []
    print(f"{'':24}pictures symbols   read  zxing   lost  wrong    ms each  zxing's  ratio")
    for cases in kinds:
        for kind, tally in measure(cases).items():
            each, plain = (1000 * seconds / tally.pictures for seconds in (tally.seconds, tally.plain_seconds))
            print(
                f"{kind:24}{tally.pictures:8}{tally.symbols:8}{tally.read:7}{tally.read_plainly:7}{tally.lost:7}"
                f"{tally.wrong:7}{each:11.2f}{plain:9.2f}{each / plain:7.2f} {tally.lost_texts or ''}",
                flush=True,
            )


if __name__ == "__main__":
    main()
