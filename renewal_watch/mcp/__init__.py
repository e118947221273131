"""What assistants ask in a conversation: the Model Context Protocol on standard input and output.

``tools`` says what a tool is, ``asking`` has those that read and ``deciding`` those that act, ``answering`` checks what is
asked and makes the answer fit to be shown; ``server`` is the only module that knows the protocol's library.
"""
