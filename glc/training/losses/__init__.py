"""What judges a picture or a latent in training, and what estimates its rate."""
