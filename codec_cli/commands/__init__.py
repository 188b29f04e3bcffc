"""The subcommands of ``glc``, one file each, of the same name."""
