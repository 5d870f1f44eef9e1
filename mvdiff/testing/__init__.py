"""Contract tests for packages that extend this one."""

from mvdiff.testing.backbones import check_backbone

__all__ = ["check_backbone"]
