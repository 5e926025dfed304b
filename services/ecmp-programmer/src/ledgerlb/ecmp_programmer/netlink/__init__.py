"""The part of rtnetlink that next-hop groups need.

``wire`` encodes and decodes messages, ``socket`` exchanges them with the kernel, and ``namespace`` opens sockets in
another network namespace.
"""
