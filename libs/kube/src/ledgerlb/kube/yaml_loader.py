"""A YAML loader for files that anybody may have written: libyaml's fast parser under Python's composer.

libyaml's own composer recurses in C: a file of nothing but brackets would end the process, not just the reading.
Python's raises RecursionError instead.
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver


def loader_class() -> Any:
    """A loader class without implicit resolvers: the caller says what plain scalars may mean."""
    if not yaml.__with_libyaml__:
        return type("Loader", (yaml.SafeLoader,), {"yaml_implicit_resolvers": {}})
    from yaml.cyaml import CParser  # type: ignore[attr-defined]  # noqa: PLC0415 - only where libyaml is

    def begin(self: Any, stream: str | bytes) -> None:
        CParser.__init__(self, stream)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)

    bases = (Composer, CParser, SafeConstructor, Resolver)
    return type("Loader", bases, {"__init__": begin, "yaml_implicit_resolvers": {}})
