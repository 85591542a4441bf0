"""Which image serves which files: templates by product, exceptions by version, and a registry before them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.conf import settings

from recovery.engines.base import Engine, Found
from recovery.errors import CannotStart, ImageRefused
from recovery.paths import shown

_TAG = re.compile(r":v?(\d+(?:\.\d+)*)[^:/]*\Z")


@dataclass(frozen=True)
class Image:
    """`version` is that of its server, as far as its name says it; None when the name says nothing."""

    name: str
    version: str | None


def choose(engine: Engine, found: Found, *, wanted: str = "", openly: bool = False) -> Image:
    """The image for these files: `wanted`, or else the configured one.

    Raises CannotStart when their version is not known and none is wanted, and ImageRefused for one whose server may
    not open them, or whose version its name does not tell, unless a person chose it `openly`.
    """
    if not wanted and found.version is None:
        raise CannotStart("version", path=shown(found.path) or "/")
    image = named(wanted) if wanted else configured(found)
    reason = engine.refuse(found, image.version or "0")
    if reason and not openly:
        raise ImageRefused(image=image.name, reason=str(reason))
    return image


def named(name: str) -> Image:
    """An image by its full name."""
    tag = _TAG.search(name.partition("@")[0])
    return Image(name, tag.group(1) if tag else None)


def configured(found: Found) -> Image:
    """By the most exact exception for its version, else by the product's template. The version must be known."""
    version = found.version or ""
    numbers = version.split(".")
    for length in range(len(numbers), 0, -1):
        prefix = ".".join(numbers[:length])
        if name := settings.RECOVERY_TAGS.get(f"{found.product}-{prefix}"):
            return Image(name, named(name).version or prefix)
    major, minor = numbers[0], numbers[1] if len(numbers) > 1 else "0"
    if found.engine == "postgresql":
        major = version  # 9.6 and 10 are majors alike
    name = settings.RECOVERY_IMAGES[found.product].format(major=major, minor=minor, version=version)
    registry = settings.RECOVERY_REGISTRY.rstrip("/")
    return named(f"{registry}/{name}" if registry else name)
