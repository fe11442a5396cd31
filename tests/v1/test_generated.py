"""Thousands of generated calls against a live gateway: no 5xx, and no answer that the document does not describe.

Bounded: so many examples for each operation, from a fixed seed, so that a run takes about a minute and finds the
same each time. Half of them obey the document, half break it on purpose; a broken one must be refused.
"""

from __future__ import annotations

import json
from collections import Counter

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import (
    not_a_server_error,
)
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cpmqr.server.openapi import document
from cpmqr.wire.operations import OPERATIONS

from .conftest import Sides

EXAMPLES = 100  # for each of the operations, right and wrong
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("generated calls"),
]  # one process, so that they are counted
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
SIDES = {operation.name: operation.roles[0].value for operation in OPERATIONS}


def takes_something(label: str) -> bool:
    """Whether a call has parameters or a body."""
    method, path = label.split(" ")
    described = json.loads(document())["paths"][path][method.lower()]
    return "parameters" in described or "requestBody" in described


api = json.loads(document())
del api["security"]  # the harness gives the credential: that calls without one are refused is for test_frame
schema = schemathesis.openapi.from_dict(api)
LABELS = [found.ok().label for found in schema.get_all_operations()]
# A call that takes nothing but its path and the credential can't be broken by what it carries.
MODES = [
    (label, mode)
    for label in LABELS
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if mode is GenerationMode.POSITIVE or takes_something(label)
]
seen: Counter[int] = Counter()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("label", "mode"), MODES, ids=lambda value: getattr(value, "value", value))
def test_a_generated_call_gets_a_documented_answer(label: str, mode: GenerationMode, sides: Sides) -> None:
    operation = schema.find_operation_by_label(label)
    assert operation is not None
    side = SIDES.get(operation.definition.raw["operationId"], "requestor")

    @hypothesis.seed(20261123)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        response = case.call(base_url=sides.running.base_url, headers=sides.credential(side))
        seen[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    check()


def test_there_were_thousands_of_calls_of_every_kind() -> None:
    """Runs after the others of this file: a run that tried nothing must not pass."""
    assert seen.total() > 2_000, seen
    assert {200, 400, 404} <= seen.keys()
