"""The latent l by itself: for other programs, for pictures between two, and for drawn ones.

arrays      channels last in numpy, and the check of what a caller gives
convert     pictures and files to latents, latents to pictures
generate    drawn pictures, and those on the way between two
sampling    what is drawn: symbols from tables, normal numbers, ways on a sphere
bottleneck  the Gaussian bottleneck of phase 1, in models that had one
"""
