"""What computes the networks: a protocol, two that fulfil it, and the choice between them.

``glc.runtime.onnx`` is ONNX Runtime, which is always installed and runs on a CPU;
``glc.runtime.torch`` is torch, an extra. Importing this package loads neither.
"""
