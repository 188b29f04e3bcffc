"""The .glca archive: many .glc files of one model in one file. See FORMAT.md.

From bytes to use: ``format``, ``entry``, ``records``, ``random_access``, ``scan``, ``writer``,
``reader``; each knows only those before it.
"""
