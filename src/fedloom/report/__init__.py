"""The report of a run: what a run folder holds, read back, tabulated, drawn and written as one page."""
