"""Array operations and tools without domain knowledge: distance transforms, threads, CUDA graphs, voxelization."""
