"""Rate, distortion, realism and speed of image codecs, measured on files.

Start with `python -m eval.rd --images DIR --out DIR`. Uses only the public names of `glc`.
"""
