"""Reads places: directories (``directory/``) and S3 buckets (``s3/``), behind one port.

``protocol`` is that port, and ``scans`` and ``observations`` are what comes through it; ``factory``
makes the source of a spec and owns what all sources of the process share. A source reports what is
there, and where something may have changed; it never compares with the index. It belongs to the
thread of its watch.
"""
