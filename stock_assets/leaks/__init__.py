"""Whether anything that is known as of a session changes with what comes after it.

`futures` cuts off and replaces what comes after a session, `stages` are the pipeline under audit,
`audit` compares what they make of both, and `zoo` is a collection of leaks that it must find.
"""
