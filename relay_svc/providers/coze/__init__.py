"""Coze: bots and workflows behind OpenAI's chat format.

    calls      where each is asked
    chat       a chat request as Coze's, a bot's events as chat chunks
    workflow   the same for workflows
    steps      what a stream of either says, one thing at a time
    written    the same as OpenAI's clients read it
    runs       the signed ids of runs that go on after the answer

The law: pure; secrets, ids and the time come in as arguments.
"""
