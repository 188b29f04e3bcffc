"""How fast codecs and training are, and where the time goes."""
