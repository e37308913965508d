"""Authentication and authorisation: who a client is, and which places that principal may watch.

``policy`` is the entrance: ``tokens`` gives the principal of a bearer token, ``allow_list`` judges
a spec by the operator's lists and returns it with the directories that its source must keep to.
Nothing here opens a place: a directory is judged by its source, from an open descriptor. Token and
certificate files follow their content (``reloading``); one task refreshes them, and any thread may
read the value.
"""
