"""`mtrec doctor`: is this machine fit to train?"""

from pathlib import Path

from mtrec.testing.environment import examine

__all__ = ["doctor"]


def doctor(directory: Path | None = None) -> int:
    """Print what was looked at, good or not: versions, imports, cores, and rights and room in the working directory or another one.

    Returns:
        The exit code: 0 if all is good, else 1.
    """
    findings = examine(directory if directory is not None else Path())
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{'ok ' if finding.good else 'BAD'}  {finding.name:<{width}}  {finding.text}")
        if not finding.good and finding.do:
            print(f"     {'':<{width}}  {finding.do}")
    return 0 if all(finding.good for finding in findings) else 1
