"""What comes of a training run: the weights file, the ranges for 8 bits, the model card."""
