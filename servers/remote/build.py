"""Builds `phpborg-remote`: the package as one executable zip, the same bytes for the same sources."""

import argparse
import hashlib
import io
import sys
import zipfile
from pathlib import Path

SHEBANG = b"#!/usr/bin/python3 -I\n"
_HERE = Path(__file__).parent
_LEFT_OUT = {"build.py", "__main__.py"}
# The filesystem that lies over a mounted archive: the standard library alone, too, and served on any server.
_COW = _HERE.parents[1] / "recovery" / "cow"
_MAIN = b"import sys\n\nfrom remote.main import main\n\nsys.exit(main(sys.argv))\n"


def _sources() -> "dict[str, bytes]":
    names = sorted(path.relative_to(_HERE).as_posix() for path in _HERE.rglob("*.py"))
    return {
        "__main__.py": _MAIN,
        **{f"remote/{name}": (_HERE / name).read_bytes() for name in names if name not in _LEFT_OUT},
        **{f"remote/cow/{path.name}": path.read_bytes() for path in sorted(_COW.glob("*.py"))},
    }


def helper_version() -> str:
    """The hash of the sources, which `hello` reports: another one means that the helper is another."""
    digest = hashlib.sha256()
    for name, content in _sources().items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def build_helper() -> bytes:
    """The executable's bytes."""
    version = helper_version()
    buffer = io.BytesIO(SHEBANG)
    buffer.seek(len(SHEBANG))
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, content in _sources().items():
            info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            stamped = content.replace(b'\nVERSION = "source"', f'\nVERSION = "{version}"'.encode())
            archive.writestr(info, stamped if name == "remote/__init__.py" else content)
    return buffer.getvalue()


def main() -> int:
    """`python -m servers.remote.build OUT` writes the executable."""
    parser = argparse.ArgumentParser(description="Write the executable phpborg-remote.")
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.new")
    temporary.write_bytes(build_helper())
    temporary.chmod(0o755)
    temporary.replace(out)
    sys.stdout.write(f"{helper_version()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
