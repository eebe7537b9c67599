"""What distinguishes the profiles of the model repository: numbers only.

Invariant: a bucket's width is a multiple of the recognizer's stride; the widest bucket belongs to the model that has
the role's own name, so that `text_recognizer` and `text_reader` exist in every profile.
"""

from dataclasses import dataclass, replace
from typing import Literal

from worker.domain.errors import LabelwireError
from worker.domain.manifest import DetectionThresholds, Device, TileShapes
from worker.models.model_card import LineFormat

Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]

DETECTION = DetectionThresholds(binarize=0.3, box_score=0.4, unclip_ratio=1.6, dilate=True, min_side_pixels=3)
DEFAULT_ALTERNATIVES = 4  # the best class and three others: what the repair of a misread code can choose from
MAX_CORES = 64
TILE_SHAPES = TileShapes(multiple_of=32, max_side=2048)
DEFAULT_CORES = 2  # what the chart and compose.yaml give Triton


# Chosen among the sets that docs/models.md lists, on the 24 dev receipts: eight read worse, by up to 0.004 in word F1.
_GPU_WIDTHS = (64, 96, 128, 160, 192, 224, 256, 288, 320, 384, 448, 512, 640, 768, 1024, 1280)
# What a GPU has seen before the server is ready: a page is searched at a long side of 1056 pixels; 960 is the tile of
# what is larger. They are not the only shapes, for the detector pools over its whole tile and padding costs lines: word
# F1 is 0.9535 with nine fixed shapes, 0.9552 with these and 0.9576 with every multiple of 32.
LONG_SIDE_PIXELS = 1056
_SHORT_SIDES = tuple(range(192, LONG_SIDE_PIXELS, 32))
_GPU_TILES = (
    (544, 544),
    *((LONG_SIDE_PIXELS, side) for side in _SHORT_SIDES),
    *((side, LONG_SIDE_PIXELS) for side in _SHORT_SIDES),
    *((960, 960), (LONG_SIDE_PIXELS, LONG_SIDE_PIXELS)),
)
_ALL_WIDTHS = tuple(range(32, 1281, 32))
# Of the dev receipts' columns 95 % are in lines of up to 640 pixels. A graph of one width takes 36 MB and 0.3 s of each
# core, so wider lines share one with a free width.
_STATIC_WIDTHS = tuple(range(32, 641, 32))
# What phones (3:4) and label printers (2:3) make of a long side of 1056 pixels. A graph of one tile takes 60 MB.
_STATIC_TILES = ((1056, 704), (1056, 768), (1056, 800), (800, 1056))


@dataclass(frozen=True, slots=True)
class Profile:
    """One way to serve the same models.

    `buckets` are the widths in pixels to which lines are padded. If `takes_any_width`, one model takes them all, else
    each bucket is a model of its own. `warmup_tiles` are (height, width) in pixels, `warmup_widths` those of lines.
    OpenVINO has a graph of fixed sizes for each of `static_tiles` and `static_widths`, and one for all other shapes.
    `precisions` can be asked for, `precision` is taken; `auto` is decided by the CPU that builds. With
    `reads_by_ensemble` workers classify and read a page's first lines in one request. On a CPU each model has an
    instance of one thread for each of `cores`; a build cannot know the cores that will serve. `config_name` is that of
    the committed configurations. With `accelerator` the onnxruntime backend runs the detector and the recognizers by
    TensorRT.
    """

    name: str
    config_name: str
    device: Device
    buckets: tuple[int, ...]
    takes_any_width: bool
    warmup_tiles: tuple[tuple[int, int], ...]
    warmup_widths: tuple[int, ...]
    precisions: tuple[Precision, ...]
    precision: Precision = "fp32"
    reads_by_ensemble: bool = False
    cores: int = DEFAULT_CORES
    accelerator: Literal["tensorrt"] | None = None
    static_tiles: tuple[tuple[int, int], ...] = ()
    static_widths: tuple[int, ...] = ()

    @property
    def engine(self) -> Literal["onnx", "openvino"]:
        """What reads the graphs, as recipes for lower precisions name it."""
        return "openvino" if self.name == "embedded" else "onnx"

    def bucket_models(self, role_name: str) -> dict[int, str]:
        """Return which model takes which width, for the recognizer or the reader."""
        if self.takes_any_width:
            return dict.fromkeys(self.buckets, role_name)
        narrow = {width: f"{role_name}_w{width}" for width in self.buckets[:-1]}
        return narrow | {self.buckets[-1]: role_name}

    def of_lines(self, line: LineFormat) -> "Profile":
        """Return the profile with the widths that a recognizer of such lines takes, near those of this one."""
        if line.served_width is not None:
            widths = (line.served_width,)
            static = widths if self.static_widths else ()
            return replace(self, buckets=widths, warmup_widths=widths, static_widths=static, takes_any_width=False)
        step = line.served_step
        return replace(
            self,
            buckets=_rounded(self.buckets, step),
            warmup_widths=_rounded(self.warmup_widths, step),
            static_widths=_rounded(self.static_widths, step),
        )


def _rounded(widths: tuple[int, ...], step: int) -> tuple[int, ...]:
    """Return widths as multiples of a step, none of them wider than the widest, each once, ascending."""
    return tuple(sorted({max(step, width // step * step) for width in widths}))


_EMBEDDED = Profile(
    name="embedded",
    config_name="embedded",
    device="cpu",
    buckets=_ALL_WIDTHS,
    takes_any_width=True,
    warmup_tiles=((960, 960),),
    warmup_widths=_ALL_WIDTHS,
    precisions=("auto", "fp32", "bf16", "int8"),
    precision="auto",
    static_tiles=_STATIC_TILES,
    static_widths=_STATIC_WIDTHS,
)
# On a GPU a new shape costs a search for algorithms, and only requests of one shape batch: few widths, each fixed.
_ONNX_GPU = Profile(
    name="onnx",
    config_name="onnx-gpu",
    device="gpu",
    buckets=_GPU_WIDTHS,
    takes_any_width=False,
    warmup_tiles=_GPU_TILES,
    warmup_widths=_GPU_WIDTHS,
    precisions=("fp32", "fp16"),
    reads_by_ensemble=True,
)
# On a CPU a new shape costs nothing and a batch gains nothing: every width, so that the least is padded, and one model,
# so that weights and memory are there once for each core.
_ONNX_CPU = Profile(
    name="onnx",
    config_name="onnx-cpu",
    device="cpu",
    buckets=_ALL_WIDTHS,
    takes_any_width=True,
    warmup_tiles=((1056, 1056),),
    warmup_widths=_ALL_WIDTHS[-1:],
    precisions=("fp32", "int8"),
)
# The widths of the onnx profile on a GPU. A plan's kernels are chosen when it is built, so a new tile shape costs no
# search, and the warm-up only has the memory touched.
_TENSORRT = Profile(
    name="tensorrt",
    config_name="tensorrt",
    device="gpu",
    buckets=_GPU_WIDTHS,
    takes_any_width=False,
    warmup_tiles=((LONG_SIDE_PIXELS, LONG_SIDE_PIXELS),),
    warmup_widths=_GPU_WIDTHS,
    precisions=("fp32", "fp16", "int8"),
    reads_by_ensemble=True,
)
# By name; the first is taken where no device is asked for. That of onnx is what the chart and compose.yaml serve unless
# they are told otherwise, and it loads on every host.
_PROFILES = {"embedded": (_EMBEDDED,), "onnx": (_ONNX_CPU, _ONNX_GPU), "tensorrt": (_TENSORRT,)}


class ProfileError(LabelwireError):
    """There is no such profile, or it cannot be varied like that."""


def select_profile(
    name: str,
    *,
    device: str | None = None,
    precision: str | None = None,
    cores: int | None = None,
    accelerator: str | None = None,
) -> Profile:
    """Return the profile of a name, varied. Raises ProfileError, which names what there is."""
    if name not in _PROFILES:
        raise ProfileError(f"there is no profile {name!r}: choose one of {', '.join(_PROFILES)}")
    by_device = {profile.device: profile for profile in _PROFILES[name]}
    profile = _PROFILES[name][0]
    if device is not None:
        if device not in by_device:
            raise ProfileError(f"the profile {name} has no device {device!r}: choose {' or '.join(by_device)}")
        profile = next(found for found in by_device.values() if found.device == device)
    if cores is not None:
        if profile.device != "cpu" or not 1 <= cores <= MAX_CORES:
            raise ProfileError(
                f"{cores} cores cannot be used by the profile {name} on a {profile.device}: give 1 to {MAX_CORES}, and "
                "only for a CPU"
            )
        profile = replace(profile, cores=cores)
    if accelerator is not None:
        if accelerator != "tensorrt" or (profile.name, profile.device) != ("onnx", "gpu"):
            raise ProfileError(
                f"the profile {name} on a {profile.device} has no accelerator {accelerator!r}: give tensorrt, and only "
                "with --profile onnx --device gpu"
            )
        profile = replace(profile, accelerator="tensorrt", precisions=(*profile.precisions, "int8"))
    if precision is not None:
        if precision not in profile.precisions:
            raise ProfileError(
                f"the profile {name} on a {profile.device} has no precision {precision!r}: choose "
                f"{' or '.join(profile.precisions)}"
            )
        profile = replace(profile, precision=precision)
    return profile
