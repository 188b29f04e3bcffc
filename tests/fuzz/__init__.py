"""Hostile inputs: one harness per place where bytes from outside come in.

python -m tests.fuzz TARGET --cases N --seed S

targets/    what is fuzzed: real inputs, mutations that know the structure, what must hold
mutate      changes to bytes, to the fields of a .glc file, to JSON
ledger      runs cases and keeps count: outcomes, slowest case, memory, findings
plain       seeded mutations without guidance; what the ordinary tests run
guided      atheris: mutations guided by coverage, in a process of its own
corpus/     one input for every way to be refused or accepted, replayed by the tests
"""
