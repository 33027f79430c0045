"""How tool calls are spelled in text.

``table.py`` holds the families as rows of data, ``openers.py`` finds where a call may begin,
``json_call.py`` and ``python_call.py`` are the two shapes that calls come in, and
``decode.py`` puts them together.  ``placement.py`` tells a call from its quotation.
"""
