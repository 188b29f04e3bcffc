"""What a file tells beside its picture: where bits went, latents, previews, drawn pictures."""
