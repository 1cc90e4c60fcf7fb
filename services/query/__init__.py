"""The language of filters: `status != completed and due < today+7d`.

A filter passes through these files in this order:

1. `syntax` parses its text into the tree of `tree`. `fields` lists all fields and operators.
2. `normal` brings the tree into one form, of the `facts` that must hold, with the values of this request (the time, the
   caller) put in. `joining` and `guards` make it short and quick to test.
3. `asking` splits it for a list: `plain` hands parts to the plain parameters of lists, and `known_values` decides what the
   tags, states and projects that there are decide.
4. `shapes` splits the rest into its values and its shape. `conditions` turns the shape into SQL, with the `elements` that
   differ between the databases, and `statement_cache` keeps the statement.

`evaluate` checks the form of step 2 for one task in Python. `view` keeps filters.
"""
