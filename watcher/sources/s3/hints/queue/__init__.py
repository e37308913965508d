"""Hints from a queue of Amazon SQS, to which a bucket sends its notifications.

One thread receives by long polling and puts keys into the inbox (``receiver``); another one deletes
the messages whose keys were compared, extends the time of those whose keys wait, and asks for the
backlog (``settler``). A message is deleted only once its ticket is done, so a crash at any time
makes it come again; that costs a HEAD, and no second event. At the end, messages that wait are
given back to the queue.

``feed`` puts the two together, ``record`` has what is known of the queue over all their lives, and
``in_flight`` decides what is due for each message (pure but for its lock). ``messages`` decides
what becomes of a message, ``sqs`` sends the requests, ``errors`` says what their failures mean, and
``setup`` reads once, for people, how a queue is set up. Only ``sqs`` and ``errors`` know the SDK.
"""
