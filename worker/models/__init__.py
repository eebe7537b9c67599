"""Building model repositories: public ONNX files in, a self-describing Triton repository out."""
