"""Float tensors: autoencoder, transforms, hyperprior, scale map, context model, and their loop.

Knows nothing of bytes, entropy coding or files; needs torch only. ``python -m glc.networks``
prints what every part costs.
"""
