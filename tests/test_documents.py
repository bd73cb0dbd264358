"""The documents are true: their commands run, the names in them exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from functools import cache
from io import StringIO
from pathlib import Path

import luigi
import pytest

from pipeline import cli, tasks
from pipeline import configuration as config
from pipeline.exit_codes import ExitCode
from pipeline.operations.planning import run_profiles
from tests import documents
from tests.documents import DOCS, ENGLISH, GUIDE, JAPANESE, PROJECT, Ran

DOCUMENTS = (*ENGLISH, *JAPANESE)
COMMANDS = DOCS / "reference" / "commands.md"
SETTINGS = DOCS / "reference" / "settings.md"
EXIT_CODES = DOCS / "reference" / "exit-codes.md"
TASKS: dict[str, type[luigi.Task]] = {name: getattr(tasks, name) for name in tasks.__all__}
#: Options of luigi itself that the documents may name.
LUIGI_FLAGS = {"--module", "--local-scheduler", "--workers", "--help", "--worker-id"}
#: What runs leave behind, and what a reader may call as they like.
NOT_OURS = re.compile(
    r"(output|cache|chunks|validation|datasets|logs|run|labels|reports)(-\w+)*/|/|\.venv"
    r"|ml_dataset|(status|_?metadata|labels|doctor)\.json|my\.cfg|dictionary\.(html|parquet)"
    r"|9000/v2|N/A|live/"
)
PATH = re.compile(r"[\w.<*-]*(/[\w.<>*-]+)+/?|[\w-]+\.(py|sh|cfg|md|json|yaml|toml)")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[Ran]]]:
    """Both languages, once; and the folder they ran in."""
    folder = tmp_path_factory.mktemp("documents")
    return folder, documents.run_both(folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("language", ["english", "japanese"])
def test_every_runnable_block_runs(language: str, ran: tuple[Path, dict[str, list[Ran]]]) -> None:
    """In order, in one shell, on a simulated market, with the exit codes the block declares."""
    wrong = [one for one in ran[1][language] if one.codes != one.block.codes]
    assert [
        f"{one.block.document.name} line {one.block.line}: {one.codes}\n{one.output}"
        for one in wrong
    ] == []
    assert ran[1][language]
    assert not any("(never begun)" in one.output for one in ran[1][language])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_use_cases_print_what_they_printed(ran: tuple[Path, dict[str, list[Ran]]]) -> None:
    """The guide's use cases, kept as golden text: python -m tests.documents writes it anew."""
    folder, runs = ran
    printed = documents.golden(runs["japanese"], folder / "japanese" / "g5")
    assert printed == documents.GOLDEN.read_text("utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """To a file of the project, and to a heading that is there."""
    links = re.findall(r"\]\(([^)]+)\)", documents.prose(document.read_text("utf-8")))
    inside = [link for link in links if not link.startswith("https://")]
    for link in inside:
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_file_is_named_that_does_not_exist(document: Path) -> None:
    """Those of the system before, in the left column of the migration table, aside."""
    missing = [
        name
        for name in sorted(set(paths(of_today(document))))
        if not NOT_OURS.match(name) and not (PROJECT / name).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_and_flag_exists(document: Path) -> None:
    """Of g5, of the scripts that call it, and of the tasks."""
    known = subcommands()
    for words in commands(of_today(document)):
        name, flags = words[0], {word.split("=")[0] for word in words if word.startswith("--")}
        assert name in known, words
        assert flags <= known[name] | {"--help"}, words


def test_every_page_is_reached_from_the_readme() -> None:
    """By links, from page to page."""
    reached, left = set(), [PROJECT / "README.md"]
    while left:
        page = left.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            links = re.findall(r"\]\(([^)#]+)", documents.prose(page.read_text("utf-8")))
            left += [(page.parent / link).resolve() for link in links if "://" not in link]
    assert set(DOCUMENTS) <= reached


def test_the_reference_names_everything() -> None:
    """Every subcommand, task, parameter, option, profile and exit code."""
    pages = (COMMANDS, SETTINGS, EXIT_CODES, DOCS / "guide" / "daily.md")
    text = "\n".join(page.read_text("utf-8") for page in pages)
    assert len(list(commands(of_today(COMMANDS)))) > 20
    actions = [name for name in subcommands() if name.startswith(("cache ", "sim ", "luigi"))]
    for name in subcommands().keys() - set(actions):
        assert f"`g5 {name}" in text, name
    for name in (*TASKS, *run_profiles.SHIPPED, *config.OPTIONS):
        assert f"`{name}`" in text, name
    for task in TASKS.values():
        for name, parameter in task.get_params():
            assert not parameter.significant or f"`--{name.replace('_', '-')}`" in text, name
    for code in ExitCode:
        assert re.search(rf"\| ([\d, ]*, )?{int(code)}(, [\d, ]*)? \|", text), code


def test_the_guide_names_what_operators_type() -> None:
    """Every command of theirs, the settings the profiles make, and each exit code."""
    text = GUIDE.read_text("utf-8")
    for name in ("plan", "status", "rebuild", "check-chunks", "merge-chunks", "run", "stop"):
        assert f"g5 {name}" in text, name
    for script in ("run.sh", "daily.sh", "health_check.sh"):
        assert f"bin/{script}" in text, script
    for code in ExitCode:
        assert re.search(rf"\| ([\d、]*、)?{int(code)}(、[\d、]*)? \|", text), code


@pytest.mark.parametrize("profile", run_profiles.SHIPPED)
def test_the_guide_has_the_values_of_the_profiles(profile: str) -> None:
    """The table of settings, held against the file."""
    header, *rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in GUIDE.read_text("utf-8").splitlines()
        if line.startswith(("| 項目 | 既定値 |", "| `"))
    ]
    column = header.index(profile)
    shown = {row[0]: row[column] for row in rows if len(row) == len(header) and row[column]}
    content = run_profiles.shipped(profile).read_text("utf-8").split("[BuildAll]")[0]
    assert shown == dict(re.findall(r"^(\w+) = (\S+)$", content, re.MULTILINE))


def test_the_documents_have_the_defaults() -> None:
    """The second column of the tables of settings."""
    defaults = option_defaults()
    for document in (SETTINGS, GUIDE):
        shown = dict(
            re.findall(r"^\| `(\w+)` \| `([\w.]+)` \|", document.read_text("utf-8"), re.MULTILINE)
        )
        named = shown.keys() & defaults.keys()
        assert len(named) >= 10
        assert {name: shown[name] for name in named} == {name: defaults[name] for name in named}


def test_luigi_cfg_has_every_option_with_its_default() -> None:
    """The file that operators open first."""
    section = (PROJECT / "luigi.cfg").read_text("utf-8").split("[core]")[0]
    shown = dict(re.findall(r"^(\w+) = (\S+)$", section, re.MULTILINE))
    assert shown == option_defaults()


def option_defaults() -> dict[str, str]:
    """The settings, as they are written in a file, with their defaults."""
    return {name: option.default for name, option in config.OPTIONS.items()}


def anchors(document: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", documents.prose(document.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def of_today(document: Path) -> str:
    """A document without the left column of the migration table."""
    before, heading, after = document.read_text("utf-8").partition("## Dagster からの移行")
    return before + heading + re.sub(r"^\| .*? \| (?=\S)", "| ", after, flags=re.MULTILINE)


def spans(text: str) -> Iterator[str]:
    """What is set in code: lines of blocks, with continuations joined, and words in backticks."""
    for _, info, content in documents.fences(text):
        if info.split()[:1] in (["bash"], ["yaml"], []):
            yield from re.sub(r"\\\n\s*", " ", content).splitlines()
    yield from re.findall(r"`([^`\n]+)`", documents.prose(text))


def paths(text: str) -> Iterator[str]:
    """Words in code that look like files."""
    for span in spans(text):
        for word in re.split(r"[\s='\",;:()|&]+", span):
            if PATH.fullmatch(word) and not re.search(r"\.\.\.|<|^[\d./*]+s?$", word):
                yield word.rstrip("/")


def commands(text: str) -> Iterator[list[str]]:
    """Calls of g5, directly or by a script, and of luigi: the command, then the other words."""
    scripts = {
        "bin/run.sh": "run",
        "bin/daily.sh": "daily",
        "bin/health_check.sh": "health",
        "bin/luigid.sh": "luigid",
    }
    for span in spans(text):
        words = shlex.split(re.split(r"\s[|>&#]|[|;]\s", span)[0].replace("...", ""))
        if words[:1] == ["luigi"]:
            yield ["luigi", *words[1:]]
        elif words[:1] == ["g5"] and len(words) > 1:
            two = " ".join(words[1:3])
            yield [two, *words[3:]] if two in subcommands() else words[1:]
        elif words and words[0] in scripts:
            yield [scripts[words[0]], *words[1:]]


@cache
def subcommands() -> dict[str, set[str]]:
    """Every subcommand of g5 with its flags, by its own help; luigi with those of our tasks."""
    found = dict(_helped())
    settings = {f"--g5-{name.replace('_', '-')}" for name in config.OPTIONS}
    parameters = {
        f"--{name.replace('_', '-')}" for task in TASKS.values() for name, _ in task.get_params()
    }
    return found | {"luigi": settings | parameters | LUIGI_FLAGS}


def _helped(*words: str) -> Iterator[tuple[str, set[str]]]:
    """A command and those below it, each with the flags that its help names."""
    told = StringIO()
    with redirect_stdout(told), suppress(SystemExit):
        cli.main([*words, "--help"])
    if words:
        yield " ".join(words), set(re.findall(r"(?<![\w-])--[a-z0-9][a-z0-9-]*", told.getvalue()))
    below = re.search(r"^  \{([\w,-]+)\}\n", told.getvalue(), re.MULTILINE)
    if below and len(words) < 2 and words != ("run",):
        for name in below[1].split(","):
            yield from _helped(*words, name)
