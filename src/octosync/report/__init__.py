"""Reports: plans, outcomes, diagnostics and errors as strings for people, and as documents for machines.

Every text ends in a line break, contains no control characters except its line breaks and colours, and is complete
without colour. The same input gives the same bytes: nothing here prints, or reads the clock, the environment or the width of
a terminal.
"""

from typing import TYPE_CHECKING

from octosync.exports import lazy_exports

if TYPE_CHECKING:
    from octosync.report.accept import AcceptedChange, render_accepted
    from octosync.report.annotations import PathResolver, output_lines, render_annotations, render_notice
    from octosync.report.documents import json_line, json_text
    from octosync.report.errors import render_diagnostics, render_error
    from octosync.report.markdown import BlobLinks, render_outcomes_markdown, render_plan_markdown
    from octosync.report.outcomes import (
        exit_code_of_outcomes,
        exit_code_of_rollouts,
        render_outcomes,
        render_rollouts,
        rollout_name,
        rollout_share,
        rollout_words,
    )
    from octosync.report.plan import exit_code_of_plan, render_plan
    from octosync.report.plan_report import ApplyReport, PlanReport
    from octosync.report.run import (
        OutcomeDocument,
        apply_document,
        outcome_row,
        render_idle,
        report_document,
        report_markdown,
        report_text,
        report_values,
    )
    from octosync.report.run_report import (
        NOTHING_WRITTEN,
        VALIDATE,
        RunReport,
        is_valid,
        strict_error,
    )
    from octosync.report.sarif import RuleHelp, sarif_document
    from octosync.report.show.coverage import ManifestCoverage, declared_document, render_declared
    from octosync.report.show.explain import (
        explained_document,
        render_explained_field,
        render_explained_group,
        render_explained_names,
        render_explained_roots,
        render_explained_variables,
    )
    from octosync.report.show.history import history_document, render_history, render_run, run_document
    from octosync.report.show.setup import (
        bootstrap_document,
        keys_text,
        render_bootstrap,
        render_bootstrap_end,
        render_export,
        render_init,
    )
    from octosync.report.show.status import StatusFacts, render_overviews, render_status
    from octosync.report.show.status_json import status_document
    from octosync.report.size_limit import MAX_BYTES
    from octosync.report.text import under_way_words, visible
    from octosync.report.validation import render_validation, validate_document
else:
    __all__, __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "accept": "AcceptedChange render_accepted",
            "annotations": "PathResolver output_lines render_annotations render_notice",
            "documents": "json_line json_text",
            "errors": "render_diagnostics render_error",
            "markdown": "BlobLinks render_outcomes_markdown render_plan_markdown",
            "outcomes": "exit_code_of_outcomes exit_code_of_rollouts render_outcomes render_rollouts rollout_name "
            "rollout_share rollout_words",
            "plan": "exit_code_of_plan render_plan",
            "run": "OutcomeDocument apply_document outcome_row render_idle "
            "report_document report_markdown report_text report_values",
            "plan_report": "ApplyReport PlanReport",
            "run_report": "NOTHING_WRITTEN VALIDATE RunReport is_valid strict_error",
            "sarif": "RuleHelp sarif_document",
            "show.coverage": "ManifestCoverage declared_document render_declared",
            "show.explain": "explained_document render_explained_field render_explained_group render_explained_names "
            "render_explained_roots render_explained_variables",
            "show.history": "history_document render_history render_run run_document",
            "show.setup": "bootstrap_document keys_text render_bootstrap render_bootstrap_end render_export "
            "render_init",
            "show.status": "StatusFacts render_overviews render_status",
            "show.status_json": "status_document",
            "size_limit": "MAX_BYTES",
            "text": "under_way_words visible",
            "validation": "render_validation validate_document",
        },
    )
