"""Between the integers of pictures and the bytes of a .glc file.

``assembly`` puts a container together and checks one; ``payload`` is the order of what is entropy
coded, which ``versions`` tells by the version of the format.
"""
