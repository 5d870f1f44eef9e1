"""Static reports."""

from recon.report.report import render_report, write_report

__all__ = ["render_report", "write_report"]
