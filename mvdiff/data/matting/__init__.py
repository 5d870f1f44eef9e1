"""Training data of the matting network: rendered objects with their shadows, composed over grounds and photographs."""
