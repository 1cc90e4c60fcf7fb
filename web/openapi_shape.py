"""Cleaning up the OpenAPI document for readers and generators of clients: no noise, no repetition.

FastAPI describes each endpoint by itself. The steps here work on the whole document, so that an endpoint
needs to do nothing for them.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

# A JSON object in the document, such as a schema, a response or an operation.
Part = dict[str, Any]
OPERATIONS = ("get", "post", "put", "patch", "delete")
# JavaScript, and so the documentation pages, can't represent larger numbers exactly.
LARGEST_EXACT = 2**53
SCHEMAS = "#/components/schemas/"
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


def _schemas_in(schema: Part) -> Iterator[Part]:
    """A schema and all schemas within it, without objects that only look like schemas (examples)."""
    yield schema
    for name in _NESTED:
        if isinstance(schema.get(name), dict):
            yield from _schemas_in(schema[name])
    for name in _LISTED:
        for each in schema.get(name, ()):
            yield from _schemas_in(each)
    for name in ("properties", "$defs"):
        for each in schema.get(name, {}).values():
            yield from _schemas_in(each)


def _roots(document: Part) -> Iterator[Part]:
    """The schemas that are not part of another schema."""
    yield from document["components"]["schemas"].values()
    yield from (each["schema"] for each in document["components"].get("parameters", {}).values())
    for operation in _all_operations(document):
        yield from (each["schema"] for each in operation.get("parameters", ()) if "schema" in each)
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in bodies:
            yield from (each["schema"] for each in body.get("content", {}).values() if "schema" in each)


def every_schema(document: Part) -> list[Part]:
    """Every schema of the document, including nested ones."""
    return [schema for root in _roots(document) for schema in _schemas_in(root)]


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
        for response in operation["responses"].values():
            # FastAPI adds JSON of any kind to an answer in another media type.
            content = response.get("content", {})
            if len(content) > 1 and content.get("application/json", {}).get("schema") == {}:
                del content["application/json"]
    for schema in every_schema(document):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        if schema.get("default", ...) is None:
            del schema["default"]
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
    if "anyOf" in schema:
        kinds = [each for each in schema.pop("anyOf") if each.get("type") != "null"]
        schema |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if None in schema.get("examples", ()):
        del schema["examples"]
    if parameter.get("description") == schema.get("description"):
        schema.pop("description", None)
    if schema.get("default", ...) in (None, []):
        del schema["default"]


def mark_read_only(document: Part, of: Mapping[str, Sequence[str]]) -> None:
    """Mark read-only fields: those whose description says so, and the fields in `of`, by schema."""
    for name, schema in document["components"]["schemas"].items():
        for field, value in schema.get("properties", {}).items():
            if str(value.get("description", "")).startswith("Read-only") or field in of.get(name, ()):
                value["readOnly"] = True


def name_choices(document: Part, names: Mapping[str, Sequence[str]]) -> None:
    """Give each list of allowed values a schema of its own, in all places where it stands."""
    by_values = {tuple(values): name for name, values in names.items()}
    used = {}
    for schema in every_schema(document):
        name = by_values.get(tuple(schema.get("enum", ())))
        if name is not None:
            del schema["enum"], schema["type"]
            schema["$ref"] = SCHEMAS + name
            used[name] = {"type": "string", "enum": [*names[name]], "description": _choice_title(name)}
    document["components"]["schemas"] |= used


def _choice_title(name: str) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return f"The possible values of the {words}"


def rename_schemas(document: Part, names: Mapping[str, str]) -> None:
    """Rename schemas, also those with a property of their own name, which many languages refuse."""
    schemas: Part = document["components"]["schemas"]
    renamed = {old: new for old, new in names.items() if old in schemas}
    for name, schema in schemas.items():
        if name.lower() in {field.replace("_", "").lower() for field in schema.get("properties", {})}:
            renamed[name] = f"{name}Answer"
    document["components"]["schemas"] = {renamed.get(name, name): each for name, each in schemas.items()}
    for schema in every_schema(document):
        name = schema.get("$ref", "").removeprefix(SCHEMAS)
        if name in renamed:
            schema["$ref"] = SCHEMAS + renamed[name]


# -- shared definitions -----------------------------------------------------------------------------


class _Shared:
    """Equal parts of one kind, which stand in several places and get a name."""

    def __init__(self, kind: str, name_of: Callable[[Part], str]) -> None:
        self._kind, self._name_of = kind, name_of
        self._places: dict[str, list[tuple[Any, Any]]] = {}

    def add(self, container: Any, key: Any) -> None:
        """Note a place where a part stands."""
        self._places.setdefault(json.dumps(container[key], sort_keys=True), []).append((container, key))

    def share(self, document: Part) -> None:
        """Move parts that stand in several places into the components, and refer to them from there."""
        shared: Part = {}
        for places in self._places.values():
            if len(places) == 1:
                continue
            container, key = places[0]
            part = container[key]
            name = wanted = self._name_of(part)
            number = 2
            while name in shared:
                name, number = f"{wanted}{number}", number + 1
            shared[name] = part
            for container, key in places:
                container[key] = {"$ref": f"#/components/{self._kind}/{name}"}
        document["components"][self._kind] = dict(sorted(shared.items()))


def share_responses(document: Part, name_of: Callable[[Part], str]) -> None:
    """Define each error once that several operations answer with, and what receivers of webhooks answer."""
    shared = _Shared("responses", name_of)
    for _, _, operation in operations(document):
        for status in operation["responses"]:
            if status >= "400":
                shared.add(operation["responses"], status)
    for item in document.get("webhooks", {}).values():
        for status in item["post"]["responses"]:
            shared.add(item["post"]["responses"], status)
    shared.share(document)


def share_bodies(document: Part) -> None:
    """Define the bodies of webhooks once, which are the same for most types of events."""
    shared = _Shared("requestBodies", _schema_name)
    for item in document.get("webhooks", {}).values():
        shared.add(item["post"], "requestBody")
    shared.share(document)


def _schema_name(body: Part) -> str:
    return str(body["content"]["application/json"]["schema"]["$ref"]).rpartition("/")[2]


def share_parameters(document: Part) -> None:
    """Define each parameter once that several operations take."""
    shared = _Shared("parameters", lambda parameter: camel(parameter["name"]))
    for operation in _all_operations(document):
        for place in range(len(operation.get("parameters", ()))):
            shared.add(operation["parameters"], place)
    shared.share(document)


def camel(text: str) -> str:
    """Join the words of a text into the name of a component."""
    return "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", text))


def drop_unused_schemas(document: Part) -> None:
    """Drop all schemas that nothing refers to."""
    while True:
        used = set(re.findall(rf'"{SCHEMAS}(\w+)"', json.dumps(document)))
        unused = document["components"]["schemas"].keys() - used
        if not unused:
            return
        for name in unused:
            del document["components"]["schemas"][name]
