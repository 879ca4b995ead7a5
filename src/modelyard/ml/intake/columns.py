"""Which type each column has: the narrowest that all of its values fit."""

from __future__ import annotations

import polars as pl
from polars import DataFrame, DataType, Expr, Series
from polars.datatypes import DataTypeClass

Type = DataType | DataTypeClass

_LEADING_ZERO = r"^[+-]?0\d"  # an article number, a postcode: text
_NO_NUMBER = _LEADING_ZERO + r"|^[+-]?\d{19,}$"  # nor an id whose last digits a float would lose
_DATE = r"^\d{4}-\d{2}-\d{2}$"
_MOMENT = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?$"
_ZONED = r"(Z|[+-]\d{2}:?\d{2})$"
NAMES = ("integer", "number", "boolean", "date", "datetime")  # the narrowest first; else a string


class Narrowing:
    """Watches blocks of a table of texts go by, and knows what type would do for each column."""

    def __init__(self) -> None:
        self._fits: dict[str, list[str]] = {}
        self._seen: dict[str, bool] = {}

    def watch(self, table: DataFrame) -> None:
        """Take in a block; all columns are strings, absent values null."""
        for column in table.get_columns():
            fits = self._fits.setdefault(column.name, list(NAMES))
            values = column.drop_nulls()
            if len(values):
                self._seen[column.name] = True
                self._fits[column.name] = [one for one in fits if _fits(values, one)]

    def types(self) -> dict[str, str]:
        """For each column ``integer``, ``number``, ``boolean``, ``date``, ``datetime``, ``string``.

        A column without any value is a string.
        """
        return {
            name: fits[0] if fits and self._seen.get(name) else "string"
            for name, fits in self._fits.items()
        }


def _fits(values: Series, name: str) -> bool:
    if name == "integer":
        return not values.str.contains(_LEADING_ZERO).any() and not _lost(values, pl.Int64)
    if name == "number":
        kept_as_text = values.str.contains(_NO_NUMBER).any()
        return not kept_as_text and not _lost(values, pl.Float64)
    if name == "boolean":
        return bool(values.str.to_lowercase().is_in(["true", "false"]).all())
    if name == "date":
        return bool(values.str.contains(_DATE).all()) and not _dates(values).null_count()
    if not values.str.contains(_MOMENT).all():
        return False
    zoned = values.str.contains(_ZONED)
    return bool(zoned.all() or not zoned.any()) and not _moments(values).null_count()


def _lost(values: Series, wanted: Type) -> bool:
    return values.cast(wanted, strict=False).null_count() > 0


def _dates(values: Series) -> Series:
    return values.str.to_date("%Y-%m-%d", strict=False)


def _moments(values: Series) -> Series:
    return pl.select(moment(pl.lit(values))).to_series()


def moment(column: Expr) -> Expr:
    """Texts as moments in UTC, to the microsecond; those without an offset are UTC."""
    text = column.str.replace(" ", "T").str.replace("Z$", "+00:00")
    text = text.str.replace(r"([+-]\d{2})(\d{2})$", "$1:$2")
    text = text.str.replace(r"T(\d{2}:\d{2})($|[+-])", "T$1:00$2")
    whole = pl.when(text.str.contains(r"[+-]\d{2}:\d{2}$")).then(text).otherwise(text + "+00:00")
    return whole.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="us", strict=False)


def converted(name: str, type_: str) -> Expr:
    """The column of texts as what it was found to hold."""
    column = pl.col(name)
    if type_ == "integer":
        return column.cast(pl.Int64)
    if type_ == "number":
        return column.cast(pl.Float64)
    if type_ == "boolean":
        return column.str.to_lowercase() == "true"
    if type_ == "date":
        return column.str.to_date("%Y-%m-%d")
    return moment(column).alias(name) if type_ == "datetime" else column
