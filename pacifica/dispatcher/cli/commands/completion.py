"""``completion``: the completion script of a shell."""

import click
from click.shell_completion import get_completion_class

PROGRAM = "pacifica-dispatcher-cmd"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    \b
    bash:  echo 'eval "$(pacifica-dispatcher-cmd completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(pacifica-dispatcher-cmd completion zsh)"' >> ~/.zshrc
    fish:  pacifica-dispatcher-cmd completion fish > ~/.config/fish/completions/pacifica-dispatcher-cmd.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = ctx.find_root()
    variable = f"_{PROGRAM}_COMPLETE".replace("-", "_").upper()
    click.echo(kind(root.command, {}, PROGRAM, variable).source())
