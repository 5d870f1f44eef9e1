"""Optional pretrained networks beside the backbone: selection, features, and geometry of the photo.

Each is built by a stock class of transformers, diffusers or onnxruntime from a local folder; nothing is downloaded.
"""
