"""``modelyard models``: what can be called."""

from modelyard.cli.options import Json, Key, Url, connect
from modelyard.cli.output import print_json, print_table

COLUMNS = {
    "id": "model",
    "owned_by": "provider",
    "context_window": "context",
    "max_output_tokens": "most output",
}


def models(url: Url = None, key: Key = None, as_json: Json = False) -> None:
    """The models a request may name."""
    answer = connect(url, key).get("/v1/models")
    if as_json:
        print_json(answer)
        return
    found = answer["data"]
    columns = [name for name in COLUMNS if any(name in model for model in found)]
    rows = ([model.get(name) for name in columns] for model in found)
    print_table([COLUMNS[name] for name in columns], rows)
