"""What distinguishes the profiles of the model repository: numbers only.

Invariant: a bucket's width is a multiple of the recogniser's stride; the widest bucket belongs to the model that has
the role's own name, so that `text_recognizer` and `text_reader` exist in every profile.
"""

from dataclasses import dataclass, replace
from typing import Literal

from worker.domain.errors import LabelwireError
from worker.domain.manifest import DetectionThresholds, TileShapes

Device = Literal["cpu", "gpu"]
Precision = Literal["auto", "fp32", "bf16", "int8"]

DETECTION = DetectionThresholds(binarize=0.3, box_score=0.4, unclip_ratio=1.6, dilate=True, min_side_pixels=3)
DEFAULT_ALTERNATIVES = 4  # the best class and three others: what the repair of a misread code can choose from
MAX_CORES = 64
DEFAULT_CORES = 2  # what the chart and compose.yaml give Triton
TILE_SHAPES = TileShapes(multiple_of=32, max_side=2048)


@dataclass(frozen=True, slots=True)
class Profile:
    """One way to serve the same models.

    `buckets` are the widths in pixels to which lines are padded. If `mixes_shapes`, one model takes them all in one
    batch, else each bucket is a model of its own. `warmup_tiles` are (height, width) in pixels. Of `devices` and
    `precisions` the first is taken, the others can be asked for; `auto` is decided by the CPU that builds. On a CPU
    each model has an instance of one thread for each of `cores`; a build cannot know the cores that will serve. There
    a batch of lines has no more than `batch_columns` columns of pixels, or one line.
    """

    name: str
    buckets: tuple[int, ...]
    mixes_shapes: bool
    warmup_tiles: tuple[tuple[int, int], ...]
    devices: tuple[Device, ...]
    precisions: tuple[Precision, ...]
    cores: int = DEFAULT_CORES
    batch_columns: int | None = None

    @property
    def device(self) -> Device:
        """What the models are expected to run on."""
        return self.devices[0]

    @property
    def precision(self) -> Precision:
        """What the models compute in."""
        return self.precisions[0]

    @property
    def config_name(self) -> str:
        """Name of the committed configurations: what suits a GPU would take a CPU's memory, and the other way round."""
        return f"{self.name}-{self.device}" if len(_DEVICES[self.name]) > 1 else self.name

    def batch_limit(self, width_pixels: int, configured: int) -> int:
        """Return how many lines of a width a batch may hold, where the committed configuration allows `configured`."""
        if self.device != "cpu" or self.batch_columns is None:
            return configured
        return max(1, min(configured, self.batch_columns // width_pixels))

    def bucket_models(self, role_name: str) -> dict[int, str]:
        """Return which model takes which width, for the recogniser or the reader."""
        if self.mixes_shapes:
            return dict.fromkeys(self.buckets, role_name)
        narrow = {width: f"{role_name}_w{width}" for width in self.buckets[:-1]}
        return narrow | {self.buckets[-1]: role_name}


EMBEDDED = Profile(
    name="embedded",
    buckets=tuple(range(32, 1281, 32)),
    mixes_shapes=True,
    warmup_tiles=((960, 960),),
    devices=("cpu",),
    precisions=("auto", "fp32", "bf16", "int8"),
)
ONNX = Profile(
    name="onnx",
    buckets=(96, 160, 224, 320, 480, 640, 960, 1280),
    mixes_shapes=False,
    warmup_tiles=((1056, 1056),),
    devices=("gpu", "cpu"),
    precisions=("fp32",),
    batch_columns=2560,
)
PROFILES = {profile.name: profile for profile in (EMBEDDED, ONNX)}
_DEVICES = {name: profile.devices for name, profile in PROFILES.items()}


class ProfileError(LabelwireError):
    """There is no such profile, or it cannot be varied like that."""


def select_profile(
    name: str, *, device: str | None = None, precision: str | None = None, cores: int | None = None
) -> Profile:
    """Return the profile of a name, varied. Raises ProfileError, which names what there is."""
    if name not in PROFILES:
        raise ProfileError(f"there is no profile {name!r}: choose one of {', '.join(PROFILES)}")
    profile = PROFILES[name]
    if device is not None:
        if device not in profile.devices:
            raise ProfileError(f"the profile {name} has no device {device!r}: choose {' or '.join(profile.devices)}")
        profile = replace(profile, devices=(device,))
    if precision is not None:
        if precision not in profile.precisions:
            raise ProfileError(
                f"the profile {name} has no precision {precision!r}: choose {' or '.join(profile.precisions)}"
            )
        profile = replace(profile, precisions=(precision,))
    if cores is not None:
        if profile.device != "cpu" or not 1 <= cores <= MAX_CORES:
            raise ProfileError(
                f"{cores} cores cannot be used by the profile {name} on a {profile.device}: give 1 to {MAX_CORES}, and "
                "only for a CPU"
            )
        profile = replace(profile, cores=cores)
    return profile
