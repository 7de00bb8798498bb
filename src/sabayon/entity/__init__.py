"""The values of the platform and their JSON: names, parameters, limits, exec, actions … No I/O, no clock.

Struct fields stand in lexicographic order of their wire names, so that what is encoded has sorted keys.
"""
