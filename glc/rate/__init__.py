"""Where the bits of a picture go.

expected  the bits that a model expects, of a picture and of each of its squares
rate_map  the cost of every symbol, put back at its place
heatmap   such a map drawn over a picture
"""
