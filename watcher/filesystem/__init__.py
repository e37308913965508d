"""Asks the kernel about paths, mounts and descriptors.

It opens paths beneath a directory, and finds the file system of a path; elsewhere than on Linux,
where there is no ``/proc``, the file system is unknown. It has no state, no threads and no locks,
and decides neither what may be read nor what is watched.
"""
