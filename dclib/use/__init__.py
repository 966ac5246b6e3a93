"""A trained network on a photo, and as an ONNX file."""
