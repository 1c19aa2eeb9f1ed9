"""The list of all points, read from the source: a new commit is in it by itself."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from onsettle import points

SOURCE = Path(points.__file__).parent
QUERIES = SOURCE / "store" / "queries"
_WRITE = re.compile(r"\b(insert\s+into|update\s+[a-z_]+\s|delete\s+from)", re.IGNORECASE)
_NO_WRITE = re.compile(r"--[^\n]*|\bfor\s+(no\s+key\s+)?update\b|\bdo\s+update\b", re.IGNORECASE)
_OPENS = ("transaction", "_fenced")
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_RUNS = ("fetch", "fetchrow", "fetchval", "execute", "executemany")
_ASKS = ("post", "put", "patch", "delete", "request")


@cache
def writing_queries() -> frozenset[str]:
    return frozenset(
        path.stem
        for path in QUERIES.glob("*.sql")
        if _WRITE.search(_NO_WRITE.sub("", path.read_text("utf-8")))
    )


@cache
def every_point() -> set[str]:
    """Both sides of every commit and every outside effect, of the engine and of who operates it."""
    names: set[str] = set()
    for path in _modules("engine", "cli", "api"):
        names |= names_in(path.read_text("utf-8"), path.stem)
    for path in sorted(SOURCE.rglob("*.py")):
        names |= set(_outside(ast.parse(path.read_text("utf-8"))))
    return {f"{name}:{side}" for name in names for side in ("before", "after")}


def _modules(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (SOURCE / package).rglob("*.py"))


def names_in(text: str, module: str) -> set[str]:
    """The commits of one module: transactions that it opens, writing queries that it runs."""
    tree = ast.parse(text)
    found = set(_transactions(tree, module, []))
    inside = {
        id(argument) for call in _calls(tree) if _name(call) == "sql" for argument in call.args
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in inside:
            continue
        if isinstance(node.value, str) and node.value in writing_queries():
            found.add(node.value)
    return found


def _outside(tree: ast.AST) -> Iterator[str]:
    """What `points.reached` and `points.around` name, for effects that are no commits."""
    for call in _calls(tree):
        if _name(call) in ("reached", "around") and call.args:
            argument = call.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value.partition(":")[0]


def _transactions(node: ast.AST, module: str, path: list[str]) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _transactions(child, module, [*path, child.name])
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _transactions(child, module, [*path, child.name, "<locals>"])
        else:
            if isinstance(child, ast.Call) and _name(child) in _OPENS:
                yield from _opened(child, module, path)
            yield from _transactions(child, module, path)


def _opened(call: ast.Call, module: str, path: list[str]) -> Iterator[str]:
    if any(keyword.arg == "readonly" for keyword in call.keywords):
        return
    if not call.args:
        yield ".".join([module, *path[:-1]])
    elif isinstance(call.args[0], ast.Constant):
        yield str(call.args[0].value)


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _name(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def writes_without_a_point() -> list[str]:
    """Engine code that commits or reaches out past the places where points are: must not exist."""
    found: list[str] = []
    for path in _modules("engine", "cli", "api"):
        found += [f"{path.name}:{line}" for line in past_points(path.read_text("utf-8"))]
    return found


def past_points(text: str) -> list[int]:
    """Lines of one module: statements given to the pool itself, writes on a connection that was
    taken from it by hand, and requests to the outside in a function that names no point."""
    tree = ast.parse(text)
    functions: dict[str, list[_Function]] = defaultdict(list)
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            functions[node.name].append(node)
    lines = [line for named in functions.values() for f in named for line in _past(f, functions)]
    lines += [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value == "eth_sendRawTransaction"
    ]
    return sorted(set(lines))


def _past(function: _Function, functions: Mapping[str, Sequence[_Function]]) -> Iterator[int]:
    pointed = any(_outside(function))
    for call in _calls(function):
        name, owner = _name(call), _owner(call)
        if (
            (owner == "pool" and name in _RUNS)
            or (owner == "pool" and name == "acquire" and _writes(function, functions))
            or (owner in ("_session", "session") and name in _ASKS and not pointed)
        ):
            yield call.lineno


def _owner(call: ast.Call) -> str:
    """`x` of `….x.f()`."""
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    if isinstance(owner, ast.Attribute):
        return owner.attr
    return owner.id if isinstance(owner, ast.Name) else ""


def _writes(function: _Function, functions: Mapping[str, Sequence[_Function]]) -> bool:
    """Whether it, or a function of its module that it calls, runs a writing query."""
    seen: set[str] = set()
    waiting = [function]
    while waiting:
        for call in _calls(waiting.pop()):
            name = _name(call)
            if name == "sql" and any(
                isinstance(a, ast.Constant) and a.value in writing_queries() for a in call.args
            ):
                return True
            if name in functions and name not in seen:
                seen.add(name)
                waiting.extend(functions[name])
    return False
