"""What the documents name exists, and what exists is in the documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aggregator.cli.parser import build_parser
from tests.contract.reference import FOLDER, pages, verbs

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
VERBS = dict(verbs(build_parser()))


@pytest.mark.parametrize("file", sorted(pages()))
def test_the_reference_is_as_the_code_makes_it(file: str) -> None:
    assert (FOLDER / file).read_text() == pages()[file], "run python -m tests.contract.reference"


def test_every_fixed_verb_and_flag_is_there() -> None:
    """Names that outside programs call."""
    fixed = {
        "up": "--demo --objects --churn --kubeconfig --context --all-contexts --data --listen --database --detach "
        "--timeout --json --stale-after --digest-interval --scrub-interval --changelog-retention --history-retention "
        "--history-size --events-retention --max-list-rows",
        "down": "--data",
        "status": "--data -o --server --token --ca",
        "serve": "--data --database --listen --external-url --tls-cert --tls-key --read-database --stale-after",
        "migrate": "--data",
        "version": "--data",
        "get": "-A -n --cluster -l --field-selector -o",
        "search": "--limit --count -o",
        "verify": "--cluster --type --repair --timeout -o",
        "tokens create": "--role --cluster --namespace --kind --ttl",
        "tokens list": "-o",
        "tokens revoke": "--data",
        "policy get": "-o",
        "policy set": "--data",
        "policy preview": "--data",
        **dict.fromkeys((f"clusters {verb}" for verb in _CLUSTER_VERBS), "--data --server --token --ca"),
    }
    for verb, flags in fixed.items():
        assert set(flags.split()) <= _flags(verb), verb


_CLUSTER_VERBS = [
    "list",
    "get",
    "add",
    "apply",
    "manifest",
    "label",
    "rename",
    "rotate",
    "rebind",
    "pause",
    "resume",
    "remove",
]


def _flags(verb: str) -> set[str]:
    return {name for action in VERBS[verb]._actions for name in action.option_strings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_documents_exist(document: Path) -> None:
    """Every `fleetpedia VERB --flag` in a document is one that the parser knows."""
    for words in _commands(document.read_text()):
        verb = next((name for name in (" ".join(words[:2]), words[0]) if name in VERBS), None)
        if words[0] == "VERB" or (verb is None and any(name.startswith(f"{words[0]} ") for name in VERBS)):
            continue  # the group itself, as in `fleetpedia clusters …`
        assert verb, f"{document}: fleetpedia {' '.join(words)}"
        for word in words:
            if re.fullmatch(r"--?[a-z][a-z-]*", word):
                assert word in _flags(verb) | {"-h", "--help"}, f"{document}: fleetpedia {verb} has no {word}"


def _commands(text: str) -> list[list[str]]:
    found = re.findall(r"(?:^|[\s`(/])fleetpedia ((?:[a-z][a-z-]*|VERB)(?:[ ][^\n`|#&]*)?)", text)
    inline = [command for command in found if _is_command(command)]
    return [re.sub(r"[\[\](){},;…]", " ", command).split() for command in inline]


def _is_command(text: str) -> bool:
    """Prose about fleetpedia begins with another word than a verb."""
    first = text.split()[0]
    return any(name.split()[0] == first for name in VERBS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), f"{document}: {target}"


def test_make_targets_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"`make ([a-z]+)", document.read_text()))
        assert named <= targets, document
