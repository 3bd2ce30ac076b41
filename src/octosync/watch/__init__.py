"""The controller: triggers say when, queues say in which order, a turn reads what is; and one page shows how all of it stands.

What may not live here: another way from manifests to writes than `reconcile`, or anything that reads the environment or the
command line (that is `cli`). Whatever needs the time gets it from a `Clock`.
"""
