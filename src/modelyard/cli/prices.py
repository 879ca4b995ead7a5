"""``modelyard prices``: what calls cost, and what is not known of it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from modelyard.cli.client import Client
from modelyard.cli.options import Json, Key, Url, connect
from modelyard.cli.output import console, print_json, print_table
from modelyard.cli.progress import listing

PATH = "/v1/ai-inference/prices"
OLD = 90  # days after which a price should be looked at again

app = typer.Typer(no_args_is_help=True, help="Prices: which are unknown, or old.")


@app.command()
def check(
    days: Annotated[int, typer.Option(min=0, help="A price seen longer ago is old.")] = OLD,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Callable models without a price, and prices that were last seen long ago; 1 if there are."""
    today = datetime.now(UTC).date()
    with listing("prices") as bar:
        found = []
        for price in listed(connect(url, key)):
            bar.advance(1)
            found += [one] if (one := finding(price, days, today)) else []
    if as_json:
        print_json({"findings": found})
    elif found:
        print_table(
            ("model", "finding", "source", "checked"),
            ([one["id"], one["finding"], one["source"], one["checked"]] for one in found),
        )
        console(stderr=True).print(
            "Give a model its price in [models.price] with the day you looked, or set one at "
            f"{PATH}.",
            markup=False,
        )
    else:
        console().print(f"Every callable model has a price, seen within {days} days.")
    raise typer.Exit(1 if found else 0)


def listed(client: Client) -> Iterator[dict[str, Any]]:
    """Every price of a callable model."""
    token = ""
    while True:
        query = {"filter": "listed=true", "page_size": "1000", "page_token": token}
        page = client.get(f"{PATH}?{urlencode({k: v for k, v in query.items() if v})}")
        yield from page["prices"]
        token = page.get("next_page_token") or ""
        if not token:
            return


def finding(price: dict[str, Any], days: int, today: date) -> dict[str, Any] | None:
    """What is wrong with one price: ``unknown``, ``old`` or ``undated``; None: nothing."""
    told = {name: price.get(name) for name in ("id", "source", "checked")}
    if price.get("per_million") is None:
        return told | {"finding": "unknown"}
    if price.get("source") in ("sandbox", "local"):
        return None
    seen = price.get("checked")
    if not seen:
        return told | {"finding": "undated"}
    if (today - date.fromisoformat(seen)).days > days:
        return told | {"finding": "old"}
    return None
