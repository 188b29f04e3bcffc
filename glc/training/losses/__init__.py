"""What judges a picture or a latent in training, and what holds its rate to a target."""
