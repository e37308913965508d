"""Decides what has changed: compares what a source reads with the index.

The reconciler brings the index in line with the readings of a source and commits each difference
together with its changes. The detector decides which differences are changes. Nothing is inferred
from what could not be read: a row is deleted only after a completed reading did not find it.
Everything runs in the thread of one watch, without locks, and reads places only through a source.
"""
