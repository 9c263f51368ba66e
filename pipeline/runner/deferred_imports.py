"""Lets TFX load without what a run may never use.

Its launcher and compiler import all of TFX's components, and with them TensorFlow, Beam, TFMA and
clients of clouds and clusters: half a minute, of which a run that finds everything cached needs a
sixth. Inside `deferred_imports()` the modules listed here are registered without being executed;
each executes, as it always would, when something first asks it for a name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from components.support.compat import TFX_COMPLETES_TFMA


@dataclasses.dataclass(frozen=True)
class _Deferred:
    """What a deferred module gives without being executed.

    Attributes:
        light: submodules that do not need it executed; `*` stands for all. Any other executes it
            first, as ever.
        classes: names of classes that TFX looks at inside the block for their names alone, in
            annotations and for the class path of an executor.
        after: a module to execute first, if that is deferred as well.
    """

    light: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    after: str | None = None

    def is_light(self, submodule: str) -> bool:
        return submodule in self.light or "*" in self.light


_TFMA = "tensorflow_model_analysis"
_TFX_COMPONENTS = "tfx.components"

_DEFERRED = {
    "tensorflow": _Deferred(light=("core", "tools")),
    "apache_beam": _Deferred(classes=("Pipeline",)),
    "tensorflow_data_validation": _Deferred(light=("anomalies",)),
    _TFMA: _Deferred(
        light=("constants", "proto", "sdk", "version"),
        after=_TFX_COMPONENTS if TFX_COMPLETES_TFMA else None,
    ),
    _TFX_COMPONENTS: _Deferred(light=("*",)),
    "tfx.components.trainer.executor": _Deferred(classes=("GenericExecutor",)),
    "components.evaluator.executor": _Deferred(classes=("Executor",), after=_TFMA),
    "components.example_validator.executor": _Deferred(classes=("Executor",)),
    "components.statistics_gen.executor": _Deferred(classes=("Executor",)),
    "docker": _Deferred(),
    "IPython": _Deferred(),  # imported by Keras and by progress bars, for notebooks
}


@contextlib.contextmanager
def deferred_imports() -> Iterator[None]:
    """Defers the modules listed above that nothing has imported yet.

    What is still deferred at the end of the block stays so until it is used.
    """
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        finder.is_open = False


def is_deferred(name: str) -> bool:
    """Tells whether a module was deferred and has not been executed yet."""
    return isinstance(sys.modules.get(name), _DeferredModule)


class _Finder(MetaPathFinder):
    """Stays on `sys.meta_path`: what it has deferred is to be executed before its submodules."""

    def __init__(self) -> None:
        self.is_open = True

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        parent, _, submodule = name.rpartition(".")
        package = sys.modules.get(parent)
        if isinstance(package, _DeferredModule) and not package.gives(submodule):
            package.execute()
            if name in sys.modules:
                return _LoadedAlready.spec_of(sys.modules[name])
        if not self.is_open or name not in _DEFERRED:
            return None
        others = (other for other in sys.meta_path if not isinstance(other, _Finder))
        found = (other.find_spec(name, path, target) for other in others)
        real = next((spec for spec in found if spec), None)
        if real is None:
            return None
        spec = ModuleSpec(name, _DeferringLoader(self, real), origin=real.origin)
        spec.submodule_search_locations = real.submodule_search_locations
        spec.has_location = real.has_location
        return spec


class _DeferringLoader(Loader):
    """Makes an empty module.

    Attributes:
        finder: what deferred the module.
        real: what Python would have loaded.
    """

    def __init__(self, finder: _Finder, real: ModuleSpec) -> None:
        self.finder = finder
        self.real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _DeferredModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leaves the module empty."""


class _LoadedAlready(Loader):
    """Gives the import system a module that was imported while it was looking for it.

    It would else take the module's own specification, and load it a second time.
    """

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    @classmethod
    def spec_of(cls, module: ModuleType) -> ModuleSpec:
        module.__spec__ = ModuleSpec(module.__name__, cls(module))
        return module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


class _DeferredModule(ModuleType):
    """A module that executes when it is asked for a name that it does not have."""

    _lock = threading.RLock()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__version__":  # inspection, not use
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        with self._lock:
            loader = _deferring_loader(self)
            if loader:
                known = _DEFERRED[self.__name__]
                if name in known.light:
                    return importlib.import_module(f"{self.__name__}.{name}")
                if name in known.classes and loader.finder.is_open:
                    return _stand_in(self.__name__, name)
                self.execute()
            # Else this thread is executing it now, or another one has.
            if name in vars(self):
                return vars(self)[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def gives(self, submodule: str) -> bool:
        """Tells whether a submodule can be imported as things are."""
        return _deferring_loader(self) is None or _DEFERRED[self.__name__].is_light(submodule)

    def execute(self) -> None:
        """Makes the module what it would have been from the start."""
        with self._lock:
            first = sys.modules.get(_DEFERRED[self.__name__].after or "")
            if isinstance(first, _DeferredModule):
                first.execute()
            loader = _deferring_loader(self)
            if loader is None or loader.real.loader is None:
                return  # executing or executed by now
            self.__spec__, self.__loader__ = loader.real, loader.real.loader
            loader.real.loader.exec_module(self)
            self.__class__ = ModuleType  # type: ignore[assignment]


def _deferring_loader(module: ModuleType) -> _DeferringLoader | None:
    """Returns the loader of a module that has not been executed."""
    loader = module.__spec__ and module.__spec__.loader
    return loader if isinstance(loader, _DeferringLoader) else None


@functools.cache
def _stand_in(module: str, name: str) -> type:
    """Returns a class of the same name as the real one, which makes objects of the real one."""

    def new(cls: type, *args: Any, **kwargs: Any) -> Any:
        return getattr(sys.modules[module], name)(*args, **kwargs)

    return type(name, (), {"__module__": module, "__qualname__": name, "__new__": new})
