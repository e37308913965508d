"""Asks the kernel about paths, mounts and descriptors.

It opens paths beneath a directory, and finds the file system of a path. ``port`` says what may be
asked whatever the kernel is; ``linux`` answers. It decides neither what may be read nor what is
watched.
"""
