"""Batches: many photos to many run folders, on processes of one machine or on a Ray cluster, resumable at any point."""
