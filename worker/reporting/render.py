"""Pages out of templates.

Invariant: a page is one file that needs nothing else: styles, pictures and plots are inside, and every text is escaped
unless it is `Markup`.
"""

import functools
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import worker
from worker.reporting import formats

_PACKAGE = "worker.reporting"


def render(template: str, **context: Any) -> str:  # noqa: ANN401 - whatever the template shows
    """Return the page of `templates/<template>.html.j2`. Raises jinja2.UndefinedError for what it lacks."""
    return _environment().get_template(f"{template}.html.j2").render(**context)


def write(path: Path, content: str) -> Path:
    """Write a page or a report whole, or not at all, and return where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(content, encoding="utf-8")
    partial.replace(path)
    return path


@functools.cache
def _environment() -> Environment:
    loader = PackageLoader(_PACKAGE)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["version"] = worker.__version__
    for name in ("style.css", "page.js"):
        source, _, _ = loader.get_source(environment, name)
        environment.globals[name.replace(".", "_")] = Markup(source)  # noqa: S704 - our own file
    environment.filters.update(formats.FILTERS)
    return environment
