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

EXAMPLES = 120  # for each of the operations
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
SIDES = {operation.name: operation.roles[0].value for operation in OPERATIONS}

schema = schemathesis.openapi.from_dict(
    json.loads(document()),
    config=schemathesis.Config.from_dict({"generation": {"mode": "all"}}),
)
seen: Counter[int] = Counter()


@pytest.mark.slow
@pytest.mark.timeout(120)
@schema.parametrize()
@hypothesis.seed(20261123)
@hypothesis.settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)
def test_a_generated_call_gets_a_documented_answer(case: schemathesis.Case, sides: Sides) -> None:
    side = SIDES.get(case.operation.definition.raw["operationId"], "requestor")
    response = case.call(base_url=sides.running.base_url, headers=sides.credential(side))
    seen[response.status_code] += 1
    case.validate_response(response, checks=CHECKS)


@pytest.mark.slow
def test_there_were_thousands_of_calls_of_every_kind() -> None:
    """Runs after the others of this file: a run that tried nothing must not pass."""
    if not seen:
        pytest.skip("the generated calls ran in another process")
    assert seen.total() > 2_000, seen
    assert {200, 400, 404} <= seen.keys()
