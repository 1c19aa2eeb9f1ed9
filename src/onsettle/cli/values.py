"""Kinds of values that options take."""

import re

import click

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Duration(click.ParamType[float]):
    """`90`, `90s`, `5m`, `2h`, `1d`: seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float | int):
            return float(value)
        found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)?", str(value).strip())
        if found is None:
            self.fail(f"{str(value)[:40]!r} is not a duration such as 90s, 5m or 2h", param, ctx)
        return float(found[1]) * _UNITS[found[2] or ""]
