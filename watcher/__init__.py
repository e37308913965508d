"""watcher: a directory or an S3 bucket in, a gRPC stream of JSON events out (see README.md)."""

__version__ = "0.2.0"
