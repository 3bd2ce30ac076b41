"""The controller: triggers decide when an app is reconciled, the queue in which order; a page shows the status of all of it.

What may not live here: another way from manifests to writes than `reconcile`, or anything that reads the environment or the
command line (that is `cli`). The time always comes from a `Clock`.
"""
