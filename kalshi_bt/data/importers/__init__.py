"""Ways into a dataset: one module for each layout of outside data.

`table` reads files that hold a table, by a mapping the user writes. Every importer judges rows by
`kalshi_bt.data.validate`, puts what fails into the quarantine and ends in one commit.
"""
