"""The command line, one command per file."""

import select
import sys
from importlib import import_module

import click

# name -> one line of help. The module of a command is imported when the command runs, so that
# `onsettle --help` answers at once.
COMMANDS = {
    "demo": "Settle 50 payments on a local chain, and check the result.",
    "serve": "Run the HTTP API and one worker.",
    "worker": "Run the engine alone.",
    "migrate": "Bring the database to this version.",
    "status": "What is waiting, what is wrong, who is working.",
    "stuck": "What waits for too long: why, and what the engine does next.",
    "reset-stuck": "Recover stuck payments as far as the chain proves it is safe.",
    "retry": "Send payments again, where nothing else can land for them.",
    "mints": "List mints, or mint again what is not minted.",
    "show": "Everything about one payment.",
    "pause": "Stop sending payments; new ones are refused.",
    "resume": "Send payments again.",
    "settings": "Read or change the runtime settings.",
    "wallets": "List, pause or resume the wallets.",
    "alarms": "What an operator must know; clear what has been seen to.",
    "logs": "What happened to payments, and where logs go.",
    "psql": "Open the database.",
    "doctor": "Check the set-up, and say what to do.",
    "webhooks": "List and replay messages about completed payments.",
    "verify": "Compare the books with the chain.",
    "bench": "Measure throughput, latency and cost on this machine.",
    "local": "Run a local chain and database to develop against.",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"onsettle.cli.{cmd_name.replace('-', '_')}").command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if isinstance(error, BrokenPipeError) and _nobody_reads():
                raise  # click ends quietly, as every program does whose reader has gone
            from onsettle.cli.problems import explain

            raise click.ClickException(explain(error)) from error


def _nobody_reads() -> bool:
    """Whether it is our own output that is broken, such as by `| head`: not the database's."""
    try:
        output = select.poll()
        output.register(sys.stdout.fileno(), select.POLLOUT)
        return any(seen & (select.POLLERR | select.POLLHUP) for _, seen in output.poll(0))
    except (OSError, ValueError):
        return False  # it is no file


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="onsettle")
def main() -> None:
    """Takes signed on-chain payments, settles them, and delivers what was paid for exactly once."""
