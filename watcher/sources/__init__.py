"""The adapters that read places: a directory (``directory.py``) or a bucket (``bucket.py``), behind one protocol (``base.py``)."""
