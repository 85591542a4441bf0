"""Charts on pages: `{% chart one %}` with its legend, and its values as a table for who does not see it."""

from __future__ import annotations

from typing import Any

from django import template

from phpborg.ui import chart as drawing
from phpborg.ui.chart import Chart

register = template.Library()


@register.inclusion_tag("components/_chart.html")
def chart(given: Chart) -> dict[str, Any]:
    """A chart of phpborg.ui.chart; where nothing is known it says so instead of drawing nothing."""
    return {
        "chart": given,
        "drawing": None if given.is_empty else drawing.draw(given),
        "lines": [(line.label, given.render(line.marks[-1].value) if line.marks else None) for line in given.lines],
        "limit": (given.limit[0], given.render(given.limit[1])) if given.limit else None,
        "rows": [] if given.is_empty else drawing.table(given),
    }
