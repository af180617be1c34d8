"""The commands, a file each: what may be asked for, and which one function is called for it.

Everything heavy is imported when a command runs, so that ``ecc-rf --help`` answers at once.
"""
