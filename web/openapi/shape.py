"""Cleaning up the OpenAPI document for readers and generators of clients: no noise, no repetition.

FastAPI describes each endpoint by itself. The steps here work on the whole document, so that an endpoint
needs to do nothing for them.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

# A JSON object in the document, such as a schema, a response or an operation.
Part = dict[str, Any]
# The list or object that a part stands in, and the part's place in it.
Place = tuple[Any, Any]
OPERATIONS = ("get", "post", "put", "patch", "delete")
# JavaScript, and so the documentation pages, can't represent larger numbers exactly.
LARGEST_EXACT = 2**53
# A response and an example with fewer characters are shorter than a reference to them.
SHORT_RESPONSE, SHORT_EXAMPLE = 50, 120
SCHEMAS = "#/components/schemas/"
NULL = {"type": "null"}
_NESTED = ("items", "additionalProperties", "not", "propertyNames")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")


def operations(document: Part) -> Iterator[tuple[str, str, Part]]:
    """Each operation with its method and path."""
    for path, item in document["paths"].items():
        for method in OPERATIONS:
            if method in item:
                yield method, path, item[method]


def _all_operations(document: Part) -> Iterator[Part]:
    """The operations of the program, and the requests that its webhooks make."""
    yield from (operation for _, _, operation in operations(document))
    yield from (item["post"] for item in document.get("webhooks", {}).values())


def schemas_in(schema: Part) -> Iterator[Part]:
    """A schema and all schemas within it, without objects that only look like schemas (examples)."""
    yield schema
    for name in _NESTED:
        if isinstance(schema.get(name), dict):
            yield from schemas_in(schema[name])
    for name in _LISTED:
        for each in schema.get(name, ()):
            yield from schemas_in(each)
    for name in ("properties", "$defs"):
        for each in schema.get(name, {}).values():
            yield from schemas_in(each)


def _roots(document: Part) -> Iterator[Part]:
    """The schemas that are not part of another schema."""
    yield from document["components"]["schemas"].values()
    yield from (each["schema"] for each in document["components"].get("parameters", {}).values())
    for operation in _all_operations(document):
        yield from (each["schema"] for each in operation.get("parameters", ()) if "schema" in each)
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in bodies:
            yield from (each["schema"] for each in body.get("content", {}).values() if "schema" in each)


def named(schema: Part) -> str:
    """The name of the schema that a schema refers to; empty if there is none."""
    return str(schema.get("$ref", "")).removeprefix(SCHEMAS)


def every_schema(document: Part) -> list[Part]:
    """Every schema of the document, including nested ones."""
    return [schema for root in _roots(document) for schema in schemas_in(root)]


# -- words -----------------------------------------------------------------------------------------


def drop_repeated_summaries(document: Part) -> None:
    """Remove the summary from the beginning of each description."""
    for _, _, operation in operations(document):
        first, _, rest = operation.get("description", "").partition("\n\n")
        if " ".join(first.split()).removesuffix(".") == operation["summary"]:
            operation["description"] = rest
        if not operation.get("description"):
            operation.pop("description", None)


def in_order_of_tags(document: Part) -> None:
    """Order the paths by their first tag, and keep the order within a tag."""
    places = {tag["name"]: place for place, tag in enumerate(document["tags"])}

    def place(item: tuple[str, Part]) -> int:
        return min(places[tag] for each in item[1].values() for tag in each["tags"][:1])

    document["paths"] = dict(sorted(document["paths"].items(), key=place))


# -- schemas ---------------------------------------------------------------------------------------


def drop_noise(document: Part) -> None:
    """Drop titles that repeat names, bounds without effect, and null for parameters that can be left out."""
    for _, _, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            _drop_null(parameter)
        for status, response in operation["responses"].items():
            if response["description"] == "Successful Response":
                response["description"] = HTTPStatus(int(status)).phrase
            # FastAPI adds JSON of any kind to an answer in another media type.
            content = response.get("content", {})
            if len(content) > 1 and content.get("application/json", {}).get("schema") == {}:
                del content["application/json"]
    for schema in every_schema(document):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        if schema.get("default", ...) is None:
            del schema["default"]
        # The pages know what a time looks like, and null is no example.
        if schema.get("format") in ("date", "date-time") or schema.get("examples") == [None]:
            schema.pop("examples", None)
        _tidy_bounds(schema)


def _tidy_bounds(schema: Part) -> None:
    for bound, written in (("maximum", "le"), ("minimum", "ge")):
        if written in schema:
            # Pydantic writes `le` and `ge` for bounds that stand behind a function.
            schema[bound] = schema.pop(written)
        if abs(schema.get(bound, 0)) >= LARGEST_EXACT:
            del schema[bound]
            schema["format"] = "int64"


def _drop_null(parameter: Part) -> None:
    schema = parameter["schema"]
    if not parameter.get("required"):
        parameter.pop("required", None)
    if "anyOf" in schema:
        kinds = [each for each in schema.pop("anyOf") if each.get("type") != "null"]
        schema |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if None in schema.get("examples", ()):
        del schema["examples"]
    if "description" in schema:
        # Swagger UI shows the description of a parameter, but not that of its schema.
        parameter.setdefault("description", schema["description"])
        if parameter["description"] == schema["description"]:
            del schema["description"]
    if schema.get("default", ...) in (None, []):
        del schema["default"]


def mark_read_only(document: Part, of: Mapping[str, Sequence[str]]) -> None:
    """Mark read-only fields: those whose description says so, and the fields in `of`, by schema."""
    for name, schema in document["components"]["schemas"].items():
        for field, value in schema.get("properties", {}).items():
            if str(value.get("description", "")).startswith("Read-only") or field in of.get(name, ()):
                value["readOnly"] = True
            if value.get("description") == "Read-only":
                del value["description"]


def name_choices(document: Part, names: Mapping[str, Sequence[str]]) -> None:
    """Give each list of allowed values a schema of its own, in all places where it stands."""
    by_values = {tuple(values): name for name, values in names.items()}
    used = {}
    for schema in every_schema(document):
        name = by_values.get(tuple(schema.get("enum", ())))
        if name is not None:
            del schema["enum"], schema["type"]
            schema["$ref"] = SCHEMAS + name
            used[name] = {"type": "string", "enum": [*names[name]]}
    document["components"]["schemas"] |= used


def name_parts(document: Part, parts: Mapping[str, tuple[Part, str]]) -> None:
    """Give each of these parts a schema of its own, with its description, in all places where it stands."""
    for schema in every_schema(document):
        for name, (part, _) in parts.items():
            if schema == part:
                schema.clear()
                schema["$ref"] = SCHEMAS + name
    schemas = document["components"]["schemas"]
    schemas |= {name: {**part, "description": text} for name, (part, text) in parts.items()}


def shorten_null(document: Part) -> None:
    """Write "a text or null" as two types, where only the type forbids null and where no word is lost."""
    for schema in every_schema(document):
        kinds = [each for each in schema.get("anyOf", ()) if each != NULL]
        if len(kinds) != 1 or "type" not in kinds[0] or {"enum", "const"} & kinds[0].keys():
            continue
        if "description" not in kinds[0].keys() & schema.keys():
            del schema["anyOf"]
            schema |= {**kinds[0], **schema, "type": [kinds[0]["type"], "null"]}


def rename_schemas(document: Part, names: Mapping[str, str]) -> None:
    """Rename schemas, also those with a property of their own name, which many languages refuse."""
    schemas: Part = document["components"]["schemas"]
    renamed = {old: new for old, new in names.items() if old in schemas}
    for name, schema in schemas.items():
        if name.lower() in {field.replace("_", "").lower() for field in schema.get("properties", {})}:
            renamed[name] = f"{name}Answer"
    document["components"]["schemas"] = {renamed.get(name, name): each for name, each in schemas.items()}
    for schema in every_schema(document):
        if (name := named(schema)) in renamed:
            schema["$ref"] = SCHEMAS + renamed[name]


# -- shared definitions -----------------------------------------------------------------------------


def _repeated(places: Iterable[Place], shortest: int = 0) -> list[list[Place]]:
    """The places of each part that stands in several places and has at least this many characters."""
    found: dict[str, list[Place]] = {}
    for container, key in places:
        found.setdefault(json.dumps(container[key], sort_keys=True), []).append((container, key))
    return [equal for text, equal in found.items() if len(equal) > 1 and len(text) >= shortest]


def _share(document: Part, kind: str, parts: list[list[Place]], names: list[str]) -> None:
    """Move each part to the components, under its name or its name with a number, and refer to it from there."""
    shared: Part = {}
    for places, wanted in zip(parts, names, strict=True):
        name, number = wanted, 2
        while name in shared:
            name, number = f"{wanted}{number}", number + 1
        for container, key in places:
            shared[name], container[key] = container[key], {"$ref": f"#/components/{kind}/{name}"}
    document["components"][kind] = dict(sorted(shared.items()))


def share_responses(document: Part, name_of: Callable[[Part], str]) -> None:
    """Define each error once that several operations give, and the answer of receivers that all webhooks expect.

    If a status has only one such answer, the status is its name.
    """
    places = (
        (operation["responses"], status)
        for operation in _all_operations(document)
        for status in operation["responses"]
        if status >= "300" or status == "2XX"
    )
    parts = _repeated(places, SHORT_RESPONSE)
    of_status = Counter(status for (_, status), *_ in parts)
    names = [
        status if of_status[status] == 1 else name_of(responses[status]) for (responses, status), *_ in parts
    ]
    _share(document, "responses", parts, names)


def _answered(schema: Part) -> str:
    """A name for an answer with this schema."""
    return named(schema) or f"{named(schema['items'])}List"


def share_parameters(document: Part) -> None:
    """Define each parameter once that several operations take."""
    parts = _repeated(
        (operation["parameters"], place)
        for operation in _all_operations(document)
        for place in range(len(operation.get("parameters", ())))
    )
    names = [camel(parameters[place]["name"]) for (parameters, place), *_ in parts]
    _share(document, "parameters", parts, names)


def share_examples(document: Part) -> None:
    """Define each long example once that several answers or webhooks show."""
    bodies = [*document["components"]["responses"].values()]
    for operation in _all_operations(document):
        bodies += operation["responses"].values()
    bodies += (item["post"]["requestBody"] for item in document["webhooks"].values())
    shown = (
        (media, "example")
        for body in bodies
        for media in body.get("content", {}).values()
        if "example" in media
    )
    parts, names = [], []
    for places in _repeated(shown, SHORT_EXAMPLE):
        name = _answered(places[0][0]["schema"])
        for media, _ in places:
            media["examples"] = {name: {"value": media.pop("example")}}
        parts.append([(media["examples"], name) for media, _ in places])
        names.append(name)
    _share(document, "examples", parts, names)


def camel(text: str) -> str:
    """Join the words of a text into the name of a component."""
    return "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", text))


def share_fields(document: Part, bases: Mapping[str, str]) -> None:
    """Describe each of these schemas by its base and by the fields that it adds."""
    schemas: Part = document["components"]["schemas"]
    for name in bases.keys() & schemas.keys():
        schema, inherited = schemas[name], schemas[bases[name]]["properties"]
        added = {field: each for field, each in schema.pop("properties").items() if field not in inherited}
        required = [field for field in schema.pop("required") if field in added]
        # Generators of clients overlook fields that stand beside `allOf` instead of in it.
        rest = {"type": schema.pop("type"), "properties": added, "required": required}
        schema["allOf"] = [{"$ref": SCHEMAS + bases[name]}, rest]


def reached(schemas: Part, part: Any) -> set[str]:
    """The names of the schemas that a part of the document refers to, and of those that they refer to."""
    found: set[str] = set()
    while new := set(re.findall(rf'"{SCHEMAS}(\w+)"', json.dumps(part))) - found:
        found |= new
        part = [schemas[name] for name in new]
    return found


def drop_unused_schemas(document: Part) -> None:
    """Drop all schemas that nothing refers to."""
    schemas = document["components"].pop("schemas")
    used = reached(schemas, document)
    document["components"]["schemas"] = {name: each for name, each in schemas.items() if name in used}
