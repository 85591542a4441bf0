"""Two Docker engines as two machines, a small image in both, and the SDK as an independent referee."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import docker
import pytest

from tests.lab.engine import Engine
from tests.support import own_image
from tests.support.bridged import Bridged, engines

PROGRAMS = ("/bin/sh", "/bin/sleep", "/bin/cat", "/bin/mkdir", "/bin/true", "/bin/false")
# What an image says by itself: none of it may be lost, nor be taken for what the container says.
SPEAKS = (
    'ENTRYPOINT ["/bin/sh", "-c"]',
    "CMD [\"trap 'exit 0' TERM; while :; do sleep 0.2; done\"]",
    "ENV FROM_IMAGE=yes PATH=/usr/bin:/bin",
    "VOLUME /var/lib/data",
    "EXPOSE 7000/tcp",
    "LABEL of.image=true",
    "STOPSIGNAL SIGTERM",
    'HEALTHCHECK --interval=1s --retries=2 CMD ["/bin/true"]',
)


IMAGES = ("phpborg-test/speaks:1", "phpborg-test/plain:1")


@pytest.fixture(scope="package")
def pair() -> Iterator[tuple[Bridged, Bridged]]:
    with engines("docker-a", "docker-b") as two:
        first, second = two
        image_in(first)
        # The very same image, as an archive would bring it.
        saved = subprocess.Popen(first.client("save", *IMAGES), stdout=subprocess.PIPE)
        second.docker("load", stdin=saved.stdout)
        assert saved.wait() == 0
        yield first, second


def image_in(engine: Engine) -> str:
    """The image "phpborg-test/speaks:1" and the plain one "phpborg-test/plain:1"."""
    plain = own_image.build(engine, "phpborg-test/plain:1", *PROGRAMS)
    engine.docker("tag", plain, "phpborg-test/plain:1")
    text = "\n".join((f"FROM {plain}", *SPEAKS))
    words = engine.client("build", "--tag", "phpborg-test/speaks:1", "-")
    done = subprocess.run(words, input=text, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return "phpborg-test/speaks:1"


def referee(engine: Engine) -> docker.DockerClient:
    """What the engine holds, as somebody else's program tells it."""
    return docker.DockerClient(base_url=f"unix://{engine.socket}", version="auto")
