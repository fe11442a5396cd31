"""The compiled build: what a compiled module must not hold, since it would mean something else there."""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WHEEL: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"][
    "targets"
]["wheel"]
MODULES: list[str] = WHEEL["hooks"]["custom"]["modules"]
EXTENSIONS = tuple(importlib.machinery.EXTENSION_SUFFIXES)
BY_ANNOTATIONS = {"Decoder", "convert"}  # msgspec reads by a class's annotations, whose details are lost


def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / "src" / "cpmqr" / f"{module}.py").read_text("utf-8"))


def test_nothing_is_compiled_unless_that_is_asked_for() -> None:
    assert WHEEL["hooks"]["custom"]["enable-by-default"] is False


def test_the_compiler_is_the_one_that_the_types_are_checked_with() -> None:
    pinned = [
        line for line in (ROOT / "constraints.txt").read_text("utf-8").split() if line.startswith("mypy==")
    ]
    assert [each for each in WHEEL["hooks"]["custom"]["dependencies"] if each.startswith("mypy")] == pinned


def test_the_list_is_in_order_and_names_each_module_once() -> None:
    assert sorted(set(MODULES)) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_a_compiled_class_says_nothing_beside_its_bases(module: str) -> None:
    """`class Reply(Struct, frozen=True)` would not be frozen: use the bases of `cpmqr.record`."""
    classes = [node for node in ast.walk(tree(module)) if isinstance(node, ast.ClassDef)]
    assert [node.name for node in classes if node.keywords] == []


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_decoded_into_a_compiled_class(module: str) -> None:
    """`dict[str, str]` would be any dict: such shapes stand in modules of their own, as `wire/shape.py`."""
    names = {node.attr for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    assert not names & BY_ANNOTATIONS


@pytest.mark.parametrize("module", MODULES)
def test_these_tests_run_against_the_build_that_they_are_meant_for(module: str) -> None:
    file = importlib.import_module(f"cpmqr.{module.replace('/', '.')}").__file__
    assert file is not None
    assert file.endswith(EXTENSIONS) == ("CPMQR_TEST_COMPILED" in os.environ)
