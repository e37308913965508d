"""The configuration of an event source: bytes in, a validated ``Spec`` or every problem out.

``document`` turns bytes into YAML nodes with lines, within strict limits; ``fields`` are the kinds
of values that a key may hold; ``schema`` declares every key once, beside the field of the spec that
it fills; ``problems`` collects what is wrong and reports it as one error. Nothing here looks at a
place or knows a source. All of it is pure and bounded: the largest configuration takes some 50 ms.
"""
