"""Readers of listings of photos: folders, text and CSV files, tar shards, parquet."""
