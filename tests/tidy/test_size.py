"""Files, functions and parameter lists stay small enough to read."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.tidy.tree import File, Function, Rule, complaints, python_files, text_files

FILE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 60
PARAMETERS_MAX: Final = 6
POSITIONAL_MAX: Final = 4
"""As many as a state in, state out function needs: `fold(spec, state, at_ms, value)`."""
SIZED: Final = (".py", ".sql", ".sh", ".yml", ".yaml")
GENERATED: Final = ("docs/reference/asyncapi.yaml",)
ASGI: Final = {"scope", "receive", "send"}


def long_file(file: File) -> Iterator[str]:
    """Complain of a file with more lines than the limit."""
    if len(file.lines) > FILE_LINES_MAX:
        yield f"{len(file.lines)} lines, at most {FILE_LINES_MAX}"


def long_function(file: File) -> Iterator[str]:
    """Complain of functions with more lines than the limit."""
    for function in file.functions():
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > FUNCTION_LINES_MAX:
            yield f"{function.name} has {length} lines, at most {FUNCTION_LINES_MAX}"


def wide_function(file: File) -> Iterator[str]:
    """Complain of functions that ask for too many values, or for too many by position."""
    for function in file.functions():
        if _is_called_by_a_framework(function):
            continue
        positional, keyword = _needed(function)
        if len(positional) + len(keyword) > PARAMETERS_MAX:
            yield f"{function.name} needs more than {PARAMETERS_MAX} values"
        if len(positional) > POSITIONAL_MAX:
            yield f"{function.name} takes {positional} by position; name the last ones"


def _needed(function: Function) -> tuple[list[str], list[str]]:
    arguments = function.args
    ordered = [argument.arg for argument in arguments.posonlyargs + arguments.args]
    needed = ordered[: len(ordered) - len(arguments.defaults)]
    if needed and needed[0] in {"self", "cls"}:
        needed = needed[1:]
    named = [
        argument.arg
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    return needed, named


def _is_called_by_a_framework(function: Function) -> bool:
    names = {argument.arg for argument in function.args.args}
    is_dunder = function.name.startswith("__") and function.name != "__init__"
    return is_dunder or names >= ASGI or bool(function.decorator_list)


def test_no_file_is_longer_than_the_limit() -> None:
    sized = tuple(
        file for file in text_files() if file.path.endswith(SIZED) and file.path not in GENERATED
    )

    assert complaints(long_file, sized) == []


def test_no_function_is_longer_than_the_limit() -> None:
    assert complaints(long_function, python_files()) == []


def test_no_function_asks_for_more_values_than_the_limit() -> None:
    ours = tuple(file for file in python_files() if not file.name.startswith("test_"))

    assert complaints(wide_function, ours) == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (long_file, "x = 1\n" * (FILE_LINES_MAX + 1)),
        (long_function, "def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX),
        (wide_function, "def f(a, b, c, d, e): ..."),
        (wide_function, "def f(a, b, *, c, d, e, f, g): ..."),
    ],
)
def test_each_rule_of_size_complains_of_a_bad_sample(rule: Rule, text: str) -> None:
    assert list(rule(File("apps/sample.py", text)))


def test_a_small_function_is_no_ground_for_complaint() -> None:
    sample = File("apps/sample.py", "class A:\n    def f(self, a, b, *, c, d=1): ...\n")

    assert list(wide_function(sample)) == []
