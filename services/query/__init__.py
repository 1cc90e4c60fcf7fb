"""The language in which tasks are asked for: `status != completed and due < today+7d`.

A filter goes through these files in this order: `syntax` reads its text into the tree of `tree`, `values` puts in
what is true of this request (the time, the caller), `normal` brings it into one form, and `conditions` makes SQL of
that. `evaluate` says of one task in Python what the SQL says of all. `fields` is the one list of what can be asked.
"""
