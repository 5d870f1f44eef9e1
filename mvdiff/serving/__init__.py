"""Runs behind a web server: jobs on disk, one worker process for each device, an HTTP API, and the studio's pages.

The modules of this package need the extra ``serve``; the command line imports them when they are used.
"""
