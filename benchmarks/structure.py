"""The structure of the code in numbers: size, modules per folder, repeated names, circles.

    python benchmarks/structure.py [--root FOLDER]

Needs nothing but Python, so that it also measures an older checkout.
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


@dataclass(frozen=True)
class Module:
    """One Python file.

    Attributes:
        name: dotted, below the root of the project.
        lines: all lines.
        code: lines that hold code: no blank lines, comments or docstrings.
        functions: length in lines of every function, nested ones included.
        classes: names of the classes at the top level.
        imports: dotted names it imports, of modules or of what is in them; also those for type
            checkers only.
    """

    name: str
    path: Path
    lines: int
    code: int
    functions: tuple[int, ...]
    classes: tuple[str, ...]
    imports: frozenset[str]


def read_module(path: Path, root: Path) -> Module:
    """Measure one file."""
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    parts = path.relative_to(root).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    functions = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    classes = tuple(node.name for node in tree.body if isinstance(node, ast.ClassDef))
    imports = frozenset(_imported(tree))
    return Module(
        name, path, text.count("\n"), _code_lines(text, tree), tuple(functions), classes, imports
    )


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _code_lines(text: str, tree: ast.Module) -> int:
    with_code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            with_code.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            with_code.difference_update(range(first.lineno, (first.end_lineno or 0) + 1))
    return len(with_code)


def _modules_of(module: Module, known: Container[str]) -> set[str]:
    """The known modules it imports: ``from package import module`` means the module, as in Python,
    where the package comes first with any import below it."""
    named = {name if name in known else name.rpartition(".")[0] for name in module.imports}
    return {name for name in named - {module.name} if name in known}


def circles(modules: Sequence[Module]) -> list[list[str]]:
    """Groups of modules that import each other, directly or not (Tarjan's algorithm)."""
    known = {module.name: module for module in modules}
    needs = {module.name: _modules_of(module, known) for module in modules}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in needs[name]:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for name in sorted(known):
        if name not in index:
            visit(name)
    return found


def report(root: Path, package: str) -> Iterator[str]:
    """The lines of the report about one package."""
    modules = [
        read_module(path, root)
        for path in sorted((root / package).rglob("*.py"))
        if "__pycache__" not in path.parts
    ]
    real = [module for module in modules if module.path.name != "__init__.py"]
    yield f"== {package}: {len(modules)} files"
    yield f"{'folder':44} {'modules':>8} {'lines':>8} {'code':>8}"
    folders: dict[Path, list[Module]] = defaultdict(list)
    for module in modules:
        folders[module.path.parent].append(module)
    for folder, inside in sorted(folders.items()):
        count = sum(module.path.name != "__init__.py" for module in inside)
        lines, code = sum(m.lines for m in inside), sum(m.code for m in inside)
        yield f"{folder.relative_to(root)!s:44} {count:8} {lines:8,} {code:8,}"
    lines, code = sum(m.lines for m in modules), sum(m.code for m in modules)
    yield f"{'total':44} {len(real):8} {lines:8,} {code:8,}"
    most = Counter(module.path.parent for module in real).most_common(1)[0]
    yield f"most modules in one folder: {most[1]} ({most[0].relative_to(root)})"
    for what, names in (
        ("module", [module.path.stem for module in real if module.path.stem != "__main__"]),
        ("class", [name for module in real for name in module.classes]),
    ):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        yield f"{what} names in more than one place: {len(twice)}  {' '.join(twice[:12])}"
    lengths = sorted(length for module in modules for length in module.functions)
    ninth = quantiles(lengths, n=10)[-1]
    yield f"functions: {len(lengths)}, median {median(lengths):g} lines, 90 % below {ninth:g}"
    found = circles(modules)
    yield f"circles of imports: {len(found)}"
    yield from (f"  {' '.join(circle)}" for circle in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    args = parser.parse_args()
    for package in ("pipeline", "tests"):
        for line in report(args.root.resolve(), package):
            print(line)


if __name__ == "__main__":
    main()
