"""What the methods of ``glc.Codec`` do between pictures and the bytes of a .glc file.

batch_coder  BatchCoder: pictures of one padded size to integers, payloads and pixels, in tiles
batches      which pictures run together
encoding     pictures to files, at a quality or below a size
decoding     files to pictures, and what is checked on the way
partial      what a file says that has not arrived whole
tables       the probability tables of a weights file
payload      the order of what is entropy coded, which ``versions`` tells by the version
assembly     a container put together, and checked
"""
