"""The network as an ONNX graph: written, and flown by ONNX Runtime."""
