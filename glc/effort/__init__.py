"""An encoder that searches: more quality for the same bits, and for more time. Nothing else
changes: neither decoder nor file know of it.
"""
