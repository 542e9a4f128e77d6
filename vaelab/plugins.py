"""Third-party components: modules named in the JSON, and entry points."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points

from vaelab.errors import ConfigError, VaelabError

ENTRY_POINTS = "vaelab.plugins"

_loaded_entry_points = False


def load_plugins(modules: Iterable[str] = ()) -> None:
    """Import the installed plugins (once a process) and these modules. Importing a plugin runs its code.

    A module is looked for as Python does and in the working directory.

    Raises:
        ConfigError: naming the plugin that cannot be imported and why.
    """
    global _loaded_entry_points
    if not _loaded_entry_points:
        _loaded_entry_points = True
        for point in entry_points(group=ENTRY_POINTS):
            _import(point.value.partition(":")[0], f"entry point '{point.name}'")
    for module in modules:
        if not all(part.isidentifier() for part in module.split(".")):
            raise ConfigError(
                f"plugin '{module[:100]}' should be the name of a module, such as my_package.my_module. Give a name, not a path."
            )
        _import(module, f"plugin '{module}'")


def _import(module: str, what: str) -> None:
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    try:
        importlib.import_module(module)
    except VaelabError:
        raise
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{what} cannot be imported: no module named '{error.name}'. Install it, or run from the "
            "folder that holds it."
        ) from error
    except (Exception, SystemExit) as error:  # a module may do anything when it is imported
        raise ConfigError(
            f"{what} failed while it was imported: {type(error).__name__}: {error}. Mend it, or leave it out."
        ) from error
