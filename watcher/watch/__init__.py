"""What one watch does next, which watches run, and on which server.

A watch is a thread that takes turns (``watch``); a turn opens, reads, scans or waits (``runner``),
as the table of transitions allows (``lifecycle``), and scans when that is due and as often as the
place may be asked (``scan_plan``). Status and log follow the transitions (``reporter``) and decide
nothing. On the event loop, the factory makes watches from their state and counts what they occupy,
and the registry shares and ends them, with one lock per identity; neither touches a place or an
index. Where servers share the state, streams of this one may read a watch that another one owns
(``followers``), and what is asked of a watch reaches its owner (``requests``). Once a second each
server surveys all watches (``survey_loop``): it takes some and gives others back (``placement``,
``claims``), and learns how far the streams of the others are (``remote_progress``). Other threads
reach a watch through its publisher, which has locks of its own, and through events that wake or
stop its thread.
"""
