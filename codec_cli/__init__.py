"""The ``glc`` command: reads, makes one call into ``glc``, writes, says one line.

``commands`` has one file per subcommand, ``support`` what they share.
Nothing here knows how a picture is coded.
"""
