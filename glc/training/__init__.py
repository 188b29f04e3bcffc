"""Training in three phases: autoencoder, transform coding, joint. See docs/training.md.

Nothing else in ``glc`` imports this package.
"""
