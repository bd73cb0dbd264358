"""``g5 notify``: where alerts go, and whether they arrive."""

from __future__ import annotations

import argparse
import socket
import sys

from pipeline.cli.terminal import options
from pipeline.exit_codes import ExitCode
from pipeline.operations.runs import alert_sender
from pipeline.report.alert_rules import Message

_NONE = "no channel: set receiver in [email] of luigi.cfg, or G5_WEBHOOK_URL in the environment"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``notify``."""
    parser.description = (
        "Shows the channels and the alerts that are open. Exit code 0: all is well; "
        "1: with --test, a channel did not take the message; 2: no channel is configured."
    )
    parser.add_argument("--test", action="store_true", help="send a message through every channel")
    options.add_output(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show or test the channels; returns 0, or 1 when one of them fails, or 2 without any."""
    root = options.settings_of(args).data_output_dir
    channels = alert_sender.channels()
    if not channels:
        sys.stderr.write(f"g5 notify: {_NONE}\n")
        return ExitCode.USAGE
    if args.test:
        where = f"{socket.gethostname()}: {root}"
        sent = alert_sender.send(Message("g5 test", f"alerts of g5 arrive here\n{where}"))
        print("\n".join(str(each) for each in sent))
        failed = any(each.problem for each in sent)
        return ExitCode.FINDINGS if failed else ExitCode.DONE
    print(f"channels {', '.join(channels)}")
    for alert in alert_sender.open_alerts(root):
        print(f"open     {alert.text} (since {alert.since})")
    return ExitCode.DONE
