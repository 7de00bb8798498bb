"""Imports the modules of a dependency set in the zygote, so that its forks find them imported.

What is imported here is the operator's choice, and trusted: it runs in the process out of
which all sandboxes of the set come. It runs in the prepared root already, without network
and without capabilities that take effect or that programs it starts could gain, in a /tmp
that goes away again.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any, Final

from sabayon.sandbox.native import filesystem, linux

_ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
"""What libraries that begin with threads of their own look at."""


class PreloadError(Exception):
    """The set cannot be used; the text says of which module and why."""


def preload(dependencies: dict[str, Any]) -> None:
    """Import `modules` from `where`. Raises PreloadError; what fails is left out where modules are not `is_chosen`."""
    sys.path.append(dependencies["where"])
    with _confined():
        for name in dependencies["modules"]:
            try:
                importlib.import_module(name)
            except BaseException as error:  # whatever a module raises while it is imported, SystemExit included
                if dependencies["is_chosen"]:
                    raise PreloadError(f"the module {name!r} cannot be imported: {error!r}") from error
            if len(os.listdir("/proc/self/task")) > 1:
                raise PreloadError(f"the module {name!r} starts threads when it is imported, which no copy would have")
            if _has_children():
                raise PreloadError(f"the module {name!r} leaves processes running when it is imported")


def _has_children() -> bool:
    """Whether any process runs besides this one: what was started, by whomever, comes to pid 1 in the end."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return False
    return True


@contextlib.contextmanager
def _confined() -> Iterator[None]:
    os.environ.update(_ONE_THREAD)
    linux.mount("tmpfs", filesystem.TMP, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=1777,size=64m")
    linux.rest_capabilities(are_resting=True)
    try:
        yield
    finally:
        linux.rest_capabilities(are_resting=False)
        linux.unmount(filesystem.TMP)
        for name in _ONE_THREAD:
            os.environ.pop(name, None)
