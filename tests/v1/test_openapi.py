"""The OpenAPI document: valid, complete, tidy, and what is served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from cpmqr.server.openapi import document
from cpmqr.wire import codes, v1
from cpmqr.wire.operations import OPERATIONS

from .conftest import Sides

Json = dict[str, Any]
# Source: https://spec.openapis.org/oas/3.1/schema/2022-10-07, the OpenAPI Initiative's own.
META_SCHEMA = Path(__file__).parents[1] / "vectors" / "openapi-3.1-schema.json"


@pytest.fixture(scope="module")
def api() -> Json:
    read: Json = json.loads(document())
    return read


def operations(api: Json) -> list[Json]:
    return [
        operation
        for path in [*api["paths"].values(), *api["webhooks"].values()]
        for operation in path.values()
    ]


def references(tree: object) -> set[str]:
    if isinstance(tree, dict):
        own = {tree["$ref"]} if isinstance(tree.get("$ref"), str) else set()
        return own.union(*[references(value) for value in tree.values()])
    if isinstance(tree, list):
        return set().union(*[references(value) for value in tree])
    return set()


def test_it_is_valid_against_the_meta_schema_of_3_1(api: Json) -> None:
    validator = jsonschema_rs.validator_for(json.loads(META_SCHEMA.read_text()))
    assert [str(error) for error in validator.iter_errors(api)] == []


def test_the_meta_schema_finds_a_fault(api: Json) -> None:
    validator = jsonschema_rs.validator_for(json.loads(META_SCHEMA.read_text()))
    assert not validator.is_valid({**api, "paths": {"/x": {"get": {"responses": {"200": {}}}}}})


def test_its_schemas_are_json_schemas_and_all_are_used(api: Json) -> None:
    schemas = api["components"]["schemas"]
    for schema in schemas.values():
        jsonschema_rs.meta.validate(schema)
    used = references(api["paths"]) | references(api["webhooks"]) | references(schemas)
    assert used == {f"#/components/schemas/{name}" for name in schemas}


def test_examples_obey_their_own_rules(api: Json) -> None:
    def look(tree: object) -> int:
        if isinstance(tree, list):
            return sum(look(value) for value in tree)
        if not isinstance(tree, dict):
            return 0
        for example in tree.get("examples", []):
            jsonschema_rs.validate(tree, example)
        return len(tree.get("examples", [])) + sum(look(value) for value in tree.values())

    assert look(api) > 10


def test_each_operation_says_what_it_does_for_whom_and_how_it_is_refused(api: Json) -> None:
    names = [operation["operationId"] for operation in operations(api)]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in api["tags"]}
    for operation in operations(api):
        assert operation["summary"]
        assert set(operation["tags"]) <= tags
        assert all(response["description"] for response in operation["responses"].values())
        assert all(parameter["description"] for parameter in operation.get("parameters", []))


def test_it_holds_every_operation_and_every_code_of_the_catalogue(api: Json) -> None:
    for operation in OPERATIONS:
        described = api["paths"][operation.path][operation.method.lower()]
        for code in operation.codes:
            assert code in described["responses"][str(codes.CODES[code].http_status)]["description"]
    told = json.dumps(api["paths"])
    assert all(code in told for code in codes.CODES)


def test_each_path_names_its_parameters(api: Json) -> None:
    for path, methods in api["paths"].items():
        for operation in methods.values():
            named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def test_words_that_are_no_parameter_are_told(api: Json) -> None:
    told = {
        path: methods["get"]["responses"]["405"]["description"]
        for path, methods in api["paths"].items()
        if "405" in methods.get("get", {}).get("responses", {})
    }
    assert told == {
        "/v1/qrs/{qr_data_mapp_val}": "1004 batch, revoke: a path of its own",
        "/v1/tokens/{token_id}": "1004 search: a path of its own",
    }


def test_times_carry_their_format(api: Json) -> None:
    for name, schema in api["components"]["schemas"].items():
        for member, rule in schema.get("properties", {}).items():
            if member.endswith("_at"):
                assert "date-time" in json.dumps(rule), (name, member)


def test_what_is_served_is_this_document(sides: Sides) -> None:
    response = sides.http.get("/openapi.json")
    assert response.headers["content-type"] == "application/json"
    assert response.content == document()


def test_every_struct_that_is_read_is_strict() -> None:
    bodies = {operation.body for operation in OPERATIONS} | {operation.query for operation in OPERATIONS}
    for body in bodies - {None}:
        assert body is not None
        assert issubclass(body, v1.Body)
        assert body.__struct_config__.forbid_unknown_fields
