"""The language of filters: `status != completed and due < today+7d`.

A filter passes through these files in this order: `syntax` parses its text into the tree of `tree`. `normal`
brings the tree into one form, with the values of this request (the time, the caller) put in. `conditions`
turns that form into SQL, with the `elements` that differ between the databases. `evaluate` checks the same form
for one task in Python. `fields` lists all fields and operators.
"""
