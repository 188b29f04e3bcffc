"""The ``glc`` command: reads, makes one call into ``glc``, writes, says one line.

One file per subcommand. Nothing here knows how a picture is coded.
"""
