"""Training records on disk and in memory: shards, stores, streams."""
