"""The directive `command-help`: what `speechkit COMMAND --help` prints, for every command."""

import argparse
import os

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from speechkit.arguments import build_parser
from speechkit.cli import COMMANDS


class CommandHelp(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        os.environ |= {"COLUMNS": "78", "NO_COLOR": "1"}
        [commands] = build_parser(COMMANDS)._subparsers._group_actions
        return [section(name, parser) for name, parser in commands.choices.items()]


def section(name: str, parser: argparse.ArgumentParser) -> nodes.section:
    """One command: its name, and its help as the terminal shows it."""
    body = nodes.section(ids=[name], names=[name])
    body += nodes.title(text=name)
    body += nodes.literal_block(text=parser.format_help(), language="none")
    return body


def setup(app) -> dict[str, bool]:
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
