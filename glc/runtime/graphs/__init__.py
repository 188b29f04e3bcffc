"""The networks without torch: graphs built from a weights file, run by ONNX Runtime.

Mirrors ``glc.networks`` layer by layer for inference on a CPU; a test holds the two together.
Knows nothing of bytes, files or pictures.
"""
