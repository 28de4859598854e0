"""Which feedback the features of a judged row could see, and which metrics that voids.

Only what the configuration declares is known: columns that a pipeline made of feedback are taken as they come.
"""

from mtrec.config import Config
from mtrec.inspection.feedback import feedback, voided_groups

__all__ = ["void_reasons", "what_features_see"]


def what_features_see(config: Config) -> dict[str, str]:
    """For each declared history and counter, a sentence: whether it is streaming or frozen at the start of the row's day, and its delay."""
    return {finding.where.removeprefix("history."): finding.sentence for finding in feedback(config.history)}


def void_reasons(model: Config, judge: Config) -> dict[str, str]:
    """Why ranking within `groups` or `sessions` says nothing: some feature of a row sees outcomes of earlier rows of its group.

    How long the judged window is does not matter: groups without `day` are taken to span it all. A session is taken to end on the day on which
    it began, so that features frozen at the start of the day cannot see into it.

    Args:
        model: the configuration whose histories and counters the scores come from.
        judge: the configuration whose `evaluation` and roles make the groups.
    """
    found = {"groups": judge.evaluation.group, "sessions": ["session", "day"] if judge.log.roles.session is not None else []}
    reasons = {}
    for by, names in found.items():
        if voiding := voided_groups(model.history, names, judge.log.roles, None):
            features, hold = ", ".join(finding.where for finding in voiding), "holds" if len(voiding) == 1 else "hold"
            reasons[by] = f"void: {features} {hold} outcomes of earlier rows of the same group: a model without any signal can score far from .5"
    return reasons
