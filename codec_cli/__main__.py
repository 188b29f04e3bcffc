"""``python -m codec_cli`` is ``glc``."""

from __future__ import annotations

from codec_cli.main import entry

entry()
