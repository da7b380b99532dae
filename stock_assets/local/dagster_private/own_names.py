"""Of the names within an asset: its operation, and the resources that it takes.

The public way that is missing: `with_attributes` gives an asset another key, and nothing gives its
operation and resources other names. A code location refuses two of one name.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, get_type_hints

from dagster import AssetsDefinition, OpDefinition, Out, ResourceParam
from dagster._core.definitions.decorators.op_decorator import DecoratedOpFunction

__all__ = ["with_own_names"]

_RESOURCE = ResourceParam[object].__metadata__[0]  # type: ignore[attr-defined]
_NO_VALUE = "io_manager"
"""Of an output that is a check's."""


def with_own_names(
    asset: AssetsDefinition,
    named: Callable[[str], str],
    within: Callable[[], AbstractContextManager[None]],
) -> AssetsDefinition:
    """The same asset under names of its own.

    Args:
        asset: With bare names.
        named: What its operation, resources and I/O managers are called.
        within: Around what it does.
    """
    op = asset.op
    function = op.compute_fn.decorated_fn  # type: ignore[union-attr]
    taken = [name for name, hint in _hints(function).items() if _is_resource(hint)]
    outs = {
        name: out if out.io_manager_key == _NO_VALUE else _stored_by(out, named)
        for name, out in op.outs.items()
    }
    renamed = OpDefinition(
        DecoratedOpFunction(_handed(function, taken, named, within)),
        named(op.name),
        ins=op.ins,
        outs=outs,
        description=op.description,
        config_schema=op.config_schema,
        required_resource_keys={named(key) for key in op.required_resource_keys},
        tags=op.tags,
        retry_policy=op.retry_policy,
        pool=op.pool,
    )
    return AssetsDefinition.dagster_internal_init(
        **{**asset.get_attributes_dict(), "node_def": renamed}
    )


def _stored_by(out: Out, named: Callable[[str], str]) -> Out:
    return out._replace(io_manager_key=named(out.io_manager_key))


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(function, include_extras=True)


def _is_resource(hint: Any) -> bool:
    return _RESOURCE in getattr(hint, "__metadata__", ())


def _handed(
    function: Callable[..., Any],
    taken: list[str],
    named: Callable[[str], str],
    within: Callable[[], AbstractContextManager[None]],
) -> Callable[..., Any]:
    """The asset's function without the parameters that are resources: it is handed those."""

    def handed(context: Any, **given: Any) -> Iterator[Any]:
        resources = {name: getattr(context.resources, named(name)) for name in taken}
        with within():
            result = function(context, **given, **resources)
            if inspect.isgenerator(result):
                yield from result
            else:
                yield result

    parameters = inspect.signature(function).parameters.values()
    kept = [one for one in parameters if one.name not in taken]
    # Without what it returns: of a generator Dagster would not take that, and the outputs say it.
    handed.__signature__ = inspect.Signature(kept)  # type: ignore[attr-defined]
    handed.__annotations__ = {one.name: one.annotation for one in kept}
    handed.__name__, handed.__doc__ = function.__name__, function.__doc__
    return handed
