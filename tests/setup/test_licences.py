"""The worker ships nothing under the GPL, and nothing of which nobody knows the license.

Three things are looked at: what each package of the worker's locks says of itself, the libraries that its wheels bundle
beside it, and what those libraries hold inside. docs/licenses.md tells the result.
"""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

import pytest

from tests.setup.locks import ROOT, read

SHIPPED: Final = tuple(
    sorted(
        {
            line.name
            for lock in ("worker", "source")
            for line in read(ROOT / "docker" / f"{lock}.lock.txt")
            if line.marker is None or line.marker.evaluate()
        }
    )
)
PAGE: Final = (ROOT / "docs" / "licenses.md").read_text(encoding="utf-8")

# Families that an Apache-2.0 project may ship. LGPL: as libraries that can be exchanged, which wheels and modules are.
ALLOWED: Final = (
    (r"lgpl|lesser general public", "LGPL"),
    (r"apache", "Apache-2.0"),
    (r"\bmit(?:-0|-cmu)?\b", "MIT"),
    (r"\b0?bsd\b", "BSD"),
    (r"psf|python software foundation", "PSF-2.0"),
    (r"\bisc\b|\biscl\b", "ISC"),
    (r"zlib", "Zlib"),
    (r"cc0", "CC0-1.0"),
    (r"mpl|mozilla public", "MPL-2.0"),
)

# What says it in words that no rule reads: the words, and what was found.
REVIEWED: Final = {
    # The licenses of what PDFium holds lie beside it: BSD, MIT, Apache, FTL, libtiff, IJG, Unicode; none of the GPL.
    ("pypdfium2", "BSD-3-Clause, Apache-2.0, dependency licenses"): "BSD and Apache-2.0",
}

# Libraries inside wheels, by the name before the hash, each looked up at its own project.
BUNDLED: Final = {
    "libaom": "BSD",
    "libavcodec": "LGPL",  # FFmpeg; the test below sees that its GPL parts were left out
    "libavformat": "LGPL",
    "libavif": "BSD",
    "libavutil": "LGPL",
    "libbrotlicommon": "MIT",
    "libbrotlidec": "MIT",
    "libcrypto": "OpenSSL",
    "libde265": "LGPL",
    "libdrm": "MIT",
    "libfreetype": "FTL",
    "libgfortran": "GPL-3.0 with the GCC runtime exception",
    "libharfbuzz": "MIT",
    "libheif": "LGPL",
    "libjpeg": "IJG and BSD",
    "liblcms2": "MIT",
    "liblzma": "0BSD",
    "libopenblasp": "BSD",
    "libopenjp2": "BSD",
    "libpdfium": "BSD",
    "libpng16": "libpng",
    "libquadmath": "LGPL",
    "librdkafka": "BSD",
    "libscipy_openblas64_": "BSD",
    "libsharpyuv": "BSD",
    "libssl": "OpenSSL",
    "libswresample": "LGPL",
    "libswscale": "LGPL",
    "libtiff": "libtiff",
    "libvips": "LGPL",
    "libvpx": "BSD",
    "libwebp": "BSD",
    "libwebpdemux": "BSD",
    "libwebpmux": "BSD",
    "libXau": "MIT",
    "libxcb": "MIT",
    "libzstd": "BSD",
}

# What only code under the GPL has inside: functions of x264, x265, FFTW, and what FFmpeg and libvips say of themselves.
GPL_INSIDE: Final = (
    b"x264_encoder_open_",
    b"x265_encoder_open_",
    b"fftw_execute",
    b"with fftw: true",
    b"poppler",
    b"--enable-gpl",
    b"license: GPL",
)


def license_of(package: Distribution) -> str | None:
    """Return the families that a package names, None if it names one that is refused or none at all."""
    about = package.metadata
    declared = str(about["License-Expression"] or "")
    if not declared:
        classifiers = about.get_all("Classifier") or []
        declared = "; ".join(text.rpartition("::")[2].strip() for text in classifiers if text.startswith("License ::"))
        named = str(about["License"] or "")
        # Some put the whole text there; its first line names it.
        declared = "; ".join(part for part in (named.strip().partition("\n")[0], declared) if part)
    return REVIEWED.get((package.name, declared)) or judged(declared)


def judged(declared: str) -> str | None:
    text = declared.lower()
    # Every part must be allowed where parts are joined; of alternatives one is enough.
    parts = [part for part in re.split(r" and |;|,", text.replace("(lgpl", "; (lgpl")) if part.strip()]
    families = [family_of(part) for part in parts]
    if not families or None in families:
        return None
    return " and ".join(sorted({family for family in families if family}))


def family_of(part: str) -> str | None:
    for alternative in part.split(" or "):
        if re.search(
            r"\b(?:a?gpl|general public license)", re.sub(r"lgpl|lesser general public license", "", alternative)
        ):
            continue
        for pattern, family in ALLOWED:
            if re.search(pattern, alternative):
                return family
    return None


def stem(library: Path) -> str:
    """Return a library's name without hash and version: `libaom` of `libaom-a0d22147.so.3.14.1`."""
    return re.split(r"-(?:r0-)?[0-9a-f]{8}|\.so", library.name)[0]


def libraries(package: Distribution) -> Iterator[Path]:
    for file in package.files or ():
        if re.search(r"\.so(?:\.|$)", file.name):
            yield Path(str(file.locate()))


def marks_of_the_gpl(library: Path) -> list[bytes]:
    held = library.read_bytes()
    return [mark for mark in GPL_INSIDE if mark in held]


@pytest.mark.parametrize("name", SHIPPED)
def test_each_package_is_under_a_licence_that_may_be_shipped(name: str) -> None:
    package = distribution(name)
    assert license_of(package), f"{name} says {package.metadata['License']!r}: look at it, and leave it out or list it"
    inside = sorted({stem(library) for library in libraries(package) if library.name.startswith("lib")})
    row = f"| {name} | {license_of(package)} | {', '.join(inside)} |"
    assert row in PAGE, f"docs/licenses.md lacks the row {row}"


@pytest.mark.parametrize("name", SHIPPED)
def test_each_library_in_a_wheel_is_known_and_holds_nothing_under_the_gpl(name: str) -> None:
    for library in libraries(distribution(name)):
        if library.name.startswith("lib"):
            assert stem(library) in BUNDLED, f"{library.name}: look its license up and list it, or leave {name} out"
        assert marks_of_the_gpl(library) == [], library


def test_the_encoder_that_only_the_tests_use_would_be_refused() -> None:
    assert "pillow-heif" not in SHIPPED
    encoder = distribution("pillow-heif")
    assert any(stem(library) not in BUNDLED for library in libraries(encoder) if library.name.startswith("lib"))
    assert any(marks_of_the_gpl(library) for library in libraries(encoder))


@pytest.mark.parametrize(
    ("declared", "family"),
    [
        ("", None),
        ("UNKNOWN", None),
        ("Proprietary", None),
        ("GPL-2.0-only", None),
        ("GPLv3", None),
        ("AGPL-3.0-or-later", None),
        ("GNU General Public License v2 (GPLv2)", None),
        ("BSD-3-Clause AND GPL-2.0-or-later", None),
        ("BSD-3-Clause; GNU General Public License v2 (GPLv2)", None),
        ("GPL-2.0-only OR MIT", "MIT"),
        ("GNU Lesser General Public License v3 (LGPLv3)", "LGPL"),
        ("LGPL-3.0-or-later", "LGPL"),
        ("Apache-2.0 AND MIT", "Apache-2.0 and MIT"),
    ],
)
def test_what_is_refused(declared: str, family: str | None) -> None:
    assert judged(declared) == family


def test_every_package_of_the_image_is_here_to_be_looked_at() -> None:
    absent = []
    for name in SHIPPED:
        try:
            distribution(name)
        except PackageNotFoundError:
            absent.append(name)
    assert absent == []
