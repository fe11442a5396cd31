"""A hook of the build: the issue path as machine code, from the same source, by mypyc.

    HATCH_BUILD_HOOK_ENABLE_CUSTOM=true pip install .

Off unless that asks for it; it needs a C compiler and Python's headers. What is compiled, and why just that, says
docs/decisions/compiled-build.md.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the extensions into the wheel, beside the sources, which stay as they are."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile `modules` of our table in pyproject.toml; the checkout is left as it was."""
        if version == "editable":
            raise SystemExit("an editable install runs the sources: build the compiled package without -e")
        self._folder = tempfile.TemporaryDirectory(prefix="cpmqr-compiled-")
        built = Path(self._folder.name) / "lib"
        with contextlib.chdir(Path(self.root) / "src"):
            compile_to(built, [f"cpmqr/{name}.py" for name in self.config["modules"]])
        for extension in built.rglob("*.so"):
            build_data["force_include"][str(extension)] = str(extension.relative_to(built))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what the wheel now holds."""
        self._folder.cleanup()


def compile_to(built: Path, files: list[str]) -> None:
    """Compile files, named from the current folder, into extensions in `built`."""
    from mypyc.build import mypycify
    from setuptools import Distribution

    # Types are judged by `make lint`; here they are only read, whatever is not installed.
    flags = ["--config-file=", "--cache-dir=/dev/null", "--ignore-missing-imports", "--follow-imports=silent"]
    extensions = mypycify(
        [*flags, *files], group_name="cpmqr", target_dir=str(built.parent / "c"), opt_level="3"
    )
    build = Distribution({"name": "cpmqr", "ext_modules": extensions}).get_command_obj("build_ext")
    build.build_lib, build.build_temp = str(built), str(built.parent / "o")
    build.ensure_finalized()
    build.run()
