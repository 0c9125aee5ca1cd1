"""Whether a signal sees what it could not have known: tests of one signal on quotes of a dataset.

A check asks the signal again after something was changed that must not matter, such as the future,
and looks for the first opinion that moved. `finding.py` holds what is reported, `subject.py` asks
the signal, `sampling.py` chooses markets and moments, the other modules hold the checks.
"""
