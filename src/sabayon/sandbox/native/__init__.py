"""The native driver: Linux namespaces, cgroups, capabilities, Landlock and seccomp, without a container engine.

`driver` runs in the platform's process, `zygote` in one process per runtime kind and
dependency set; `confinement` is what a new sandbox does before its launcher. What these two
import uses the standard library only.
"""
