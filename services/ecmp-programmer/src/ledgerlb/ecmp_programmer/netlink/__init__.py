"""The little of rtnetlink that next-hop groups need: a codec (``wire``) and a socket (``socket``)."""
