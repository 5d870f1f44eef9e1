"""Engines: processes of this machine, or actors of a Ray cluster, behind one interface."""
