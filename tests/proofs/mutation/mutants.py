"""The mutants of a Python module: one small change each, as a slip or a reviewer would make it."""

from __future__ import annotations

import ast
from copy import deepcopy
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMPARED: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
COMPUTED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_AROUND: Final = (
    *(ast.Compare, ast.BinOp, ast.BoolOp, ast.Assign, ast.AnnAssign, ast.keyword, ast.arguments, ast.Return),
    *(ast.Call, ast.Subscript, ast.Yield),
)
MANY: Final = 1_000
"""More changes than there are of one node."""
SWAPPED: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Mutant(Struct, frozen=True):
    """One change; ``where`` is the function it is in, empty where it is in none."""

    file: str
    where: str
    line: int
    change: str
    number: int
    """Which of the file's mutants it is: made again by ``tree``."""

    @property
    def name(self) -> str:
        """What it is known by, whatever is added above it."""
        return f"{self.file} | {self.where or 'module'} | {self.change}"


class _Site(Struct, frozen=True):
    node: ast.AST
    where: str
    line: int
    around: ast.AST
    """What a constant stands in: by itself it says nothing."""


def mutants(file: str, source: str) -> list[Mutant]:
    """Return the mutants of a module, each with a name of its own."""
    found: list[Mutant] = []
    seen: dict[str, int] = {}
    for number, site in enumerate(_sites_of(ast.parse(source))):
        around = f" in {_text(site.around)}" if isinstance(site.node, ast.Constant) else ""
        for index, (told, _) in enumerate(_of(site.node)):
            name = f"{site.where} | {told}{around}"
            seen[name] = seen.get(name, 0) + 1
            again = f" #{seen[name]}" if seen[name] > 1 else ""
            found.append(Mutant(file, site.where, site.line, f"{told}{around}{again}", MANY * number + index))
    return found


def tree(source: str, mutant: Mutant) -> ast.Module:
    """Return the module with the change made."""
    module = ast.parse(source)
    if mutant.number >= 0:
        number, index = divmod(mutant.number, MANY)
        _, change = list(_of(_sites_of(module)[number].node))[index]
        change()
    return ast.fix_missing_locations(module)


def _sites_of(module: ast.Module) -> list[_Site]:
    return list(_sites(module, "", 0, module))


def _sites(node: ast.AST, where: str, line: int, around: ast.AST) -> Iterator[_Site]:
    """Yield every node that may be changed: no annotations, no messages, no imports, no documentation."""
    if isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom | ast.arg):
        return
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    line = getattr(node, "lineno", line)
    yield _Site(node, where, line, around)
    if isinstance(node, _AROUND):
        around = node
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        where = f"{where}.{node.name}" if where else node.name
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases", "keywords") and not isinstance(node, ast.Call):
            continue
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, ast.AST):
                yield from _sites(each, where, line, around)


def _of(node: ast.AST) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield what can be changed about a node, in words, and how."""
    for kind, changes in _KINDS.items():
        if isinstance(node, kind):
            for change in changes:
                yield from change(node)


def _set(node: ast.AST, name: str, value: object, what: str = "") -> tuple[str, Callable[[], None]]:
    """Return a change of one field, told by the node before and after."""
    after = deepcopy(node)
    setattr(after, name, value)
    told = what or f"{_text(node)} → {_text(after)}"
    return told, lambda: setattr(node, name, value)


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(ast.fix_missing_locations(node)).split())


def _compare(node: ast.Compare) -> Iterator[tuple[str, Callable[[], None]]]:
    for index, operator in enumerate(node.ops):
        for other in COMPARED[type(operator)]:
            yield _set(node, "ops", [*node.ops[:index], other(), *node.ops[index + 1 :]])


def _bool(node: ast.BoolOp) -> Iterator[tuple[str, Callable[[], None]]]:
    yield _set(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    for index in range(len(node.values)):
        yield _set(node, "values", [*node.values[:index], *node.values[index + 1 :]])


def _not(node: ast.UnaryOp) -> Iterator[tuple[str, Callable[[], None]]]:
    if isinstance(node.op, ast.Not):
        twice = ast.UnaryOp(ast.Not(), node.operand)
        yield _set(node, "operand", twice, f"{_text(node)} → {_text(node.operand)}")


def _binary(node: ast.BinOp) -> Iterator[tuple[str, Callable[[], None]]]:
    other = COMPUTED.get(type(node.op))
    if other is not None:
        yield _set(node, "op", other())


def _constant(node: ast.Constant) -> Iterator[tuple[str, Callable[[], None]]]:
    if isinstance(node.value, bool):
        yield _set(node, "value", not node.value)
    elif isinstance(node.value, int):
        yield _set(node, "value", node.value + 1)
        if node.value > 1:
            yield _set(node, "value", node.value - 1)
    elif isinstance(node.value, float):
        yield _set(node, "value", node.value / 2 if node.value else 1.0)


def _return(node: ast.Return) -> Iterator[tuple[str, Callable[[], None]]]:
    # Of a constant another value is returned: None is as good as False and as nothing.
    if node.value is not None and not isinstance(node.value, ast.Constant):
        yield _set(node, "value", ast.Constant(None))


def _test(node: ast.If | ast.IfExp) -> Iterator[tuple[str, Callable[[], None]]]:
    for value in (True, False):
        yield _set(node, "test", ast.Constant(value), f"if {_text(node.test)} → if {value}")


def _conditions(node: ast.comprehension) -> Iterator[tuple[str, Callable[[], None]]]:
    for index, each in enumerate(node.ifs):
        yield _set(
            node, "ifs", [*node.ifs[:index], *node.ifs[index + 1 :]], f"for {_text(node.target)} if {_text(each)} → ∅"
        )


def _call(node: ast.Call) -> Iterator[tuple[str, Callable[[], None]]]:
    if isinstance(node.func, ast.Name) and node.func.id in SWAPPED:
        swapped = ast.Name(SWAPPED[node.func.id], ast.Load())
        yield _set(node, "func", swapped, f"{_text(node)} → {SWAPPED[node.func.id]}")
    for index, each in enumerate(node.keywords):
        if each.arg is not None:
            rest = [*node.keywords[:index], *node.keywords[index + 1 :]]
            yield _set(node, "keywords", rest, f"{_text(node.func)}(… {each.arg}={_text(each.value)}) → without")


def _cases(node: ast.Match) -> Iterator[tuple[str, Callable[[], None]]]:
    for index, each in enumerate(node.cases):
        if len(node.cases) > 1:
            rest = [*node.cases[:index], *node.cases[index + 1 :]]
            yield _set(node, "cases", rest, f"case {_text(each.pattern)} → without")
        if each.guard is not None:
            yield _set(each, "guard", None, f"case {_text(each.pattern)} if {_text(each.guard)} → always")


def _elements(node: ast.Set | ast.Tuple) -> Iterator[tuple[str, Callable[[], None]]]:
    if isinstance(node, ast.Tuple) and not (isinstance(node.ctx, ast.Load) and any(map(_is_starred, node.elts))):
        return
    for index, each in enumerate(node.elts):
        rest = [*node.elts[:index], *node.elts[index + 1 :]]
        if rest:
            yield _set(node, "elts", rest, f"{_text(node)} → without {_text(each)}")


def _is_starred(node: ast.expr) -> bool:
    return isinstance(node, ast.Starred)


def _statement(node: ast.stmt) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the deletion of a statement that only has an effect."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # documentation
    if isinstance(node, ast.Assign) and all(isinstance(target, ast.Name | ast.Tuple) for target in node.targets):
        return  # without it there would be no name
    yield f"delete {_text(node)}", lambda: setattr(node, "__class__", ast.Pass)


_KINDS: Final[dict[type[ast.AST], tuple[Callable[..., Iterator[tuple[str, Callable[[], None]]]], ...]]] = {
    ast.Compare: (_compare,),
    ast.BoolOp: (_bool,),
    ast.UnaryOp: (_not,),
    ast.BinOp: (_binary,),
    ast.Constant: (_constant,),
    ast.Return: (_return,),
    ast.If: (_test,),
    ast.IfExp: (_test,),
    ast.comprehension: (_conditions,),
    ast.Call: (_call,),
    ast.Match: (_cases,),
    ast.Set: (_elements,),
    ast.Tuple: (_elements,),
    ast.Expr: (_statement,),
    ast.Assign: (_statement,),
    ast.AugAssign: (_statement,),
    ast.Delete: (_statement,),
}
