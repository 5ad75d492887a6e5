"""What each command of `ads-proxy` does. The command line itself, with its options, is in `proxy.commands.cli`."""
