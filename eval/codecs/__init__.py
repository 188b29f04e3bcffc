"""The codecs under test; ``adapters`` has all of them by name."""
