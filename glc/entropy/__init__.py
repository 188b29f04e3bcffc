"""Integers to bytes and back: range coding with integer probability tables.

Normative: docs/format.md, section 8.

Knows nothing of torch, pictures or files. A decoder that holds the same tables reads the same
integers from the same bytes on every machine, because no float ever selects a probability.

    categorical    one row of integer frequencies as a model of the range coder
    prefix         PrefixDecoder: the certain symbols of a stream that has not arrived whole
    range_coder    RangeEncoder, RangeDecoder: the stream and its shortest ending
    order          Order: which rows of a message come first
    escape         the code of magnitudes that a row does not hold
    scale_tables   ScaleTables: 64 rows for symbols of known scale
    index_tables   IndexTables: one row per bank for codebook indices
    apportion      build time: real weights to frequencies that sum to exactly 2**16
    arrays         checked reading and checksums of integer arrays
"""

from __future__ import annotations

from glc.entropy.categorical import PRECISION, Categorical
from glc.entropy.escape import MAX_MAGNITUDE
from glc.entropy.index_tables import IndexTables
from glc.entropy.order import Order
from glc.entropy.prefix_decoder import PrefixDecoder, decode_known
from glc.entropy.range_coder import RangeDecoder, RangeEncoder
from glc.entropy.scale_tables import ROWS, SIGMA_MAX, SIGMA_MIN, ScaleTables, sigma_of_row

__all__ = [
    "MAX_MAGNITUDE",
    "PRECISION",
    "ROWS",
    "SIGMA_MAX",
    "SIGMA_MIN",
    "Categorical",
    "IndexTables",
    "Order",
    "PrefixDecoder",
    "RangeDecoder",
    "RangeEncoder",
    "ScaleTables",
    "decode_known",
    "sigma_of_row",
]
