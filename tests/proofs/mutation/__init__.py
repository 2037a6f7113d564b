"""Mutation testing of what decides: ``make mutants``. A mutant that no test kills is listed with a reason, or is a bug.

Why not a library: mutmut 3 leaves out module constants, defaults of structs and everything with a decorator (the
properties that weigh); cosmic-ray starts pytest anew for every mutant, which is an hour. Neither knows Lua.
"""
