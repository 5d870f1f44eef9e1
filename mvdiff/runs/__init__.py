"""Runs from one photo to files: orchestration, storage, refinement."""
