"""The native driver: Linux namespaces, cgroups, capabilities and seccomp, without a container engine.

`driver` runs in the platform's process, `zygote` in one process per runtime kind. What
the zygote imports (`linux`, `filesystem`, `seccomp`) uses the standard library only.
"""
