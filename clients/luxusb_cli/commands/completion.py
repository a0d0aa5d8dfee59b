"""`completion`: what makes the shell complete names."""

from __future__ import annotations

import sys

import click

from luxusb_cli.errors import ExitCode

SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print the script that makes a shell complete names.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> ExitCode:
    """Print the script that makes SHELL complete commands, options, and names of disks, jobs, images, distributions.

    \b
    Examples:
      luxusb completion bash > ~/.local/share/bash-completion/completions/luxusb
      luxusb completion zsh > ~/.zfunc/_luxusb
      luxusb completion fish > ~/.config/fish/completions/luxusb.fish
    """
    from luxusb_cli.completion import script

    sys.stdout.write(script(shell))
    return ExitCode.DONE


COMMANDS = (completion,)
