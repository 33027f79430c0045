"""What went wrong with tools in conversations that gptme has on the disk, and what would help.

::

    finding       which log files there are
    reading       the lines of a log as messages; ``setting``: its model, format and tools
    exchanges     an answer, and what the host wrote about it
    judging       what failed in an exchange, told by the core and by what the host wrote:
                  ``native_judging``, ``text_judging``, ``prose`` (nothing ran), ``shown`` (what
                  ran was an example), ``repeats`` (loops), ``request_faults`` (no answer)
    classes       the classes of failures, and the stages that answer them
    conversation  all of a log; ``counting``: figures, and what failures cost
    advice        what to switch on
    figures       the report as values; ``words`` prints it, ``page`` and ``plots`` draw it

A log is read once, line by line; nothing is kept of it but figures and the costliest examples.
"""
