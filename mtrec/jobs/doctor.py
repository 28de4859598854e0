"""`mtrec doctor`: is this machine fit to train?"""

from pathlib import Path

from mtrec.testing.environment import Finding, examine

__all__ = ["doctor", "print_findings"]


def doctor(directory: Path | None = None) -> list[Finding]:
    """What was looked at, good or not: versions, imports, cores, and rights and room in the working directory or another one."""
    return examine(directory if directory is not None else Path())


def print_findings(findings: list[Finding]) -> int:
    """Print one line for each finding, what to do under the bad ones, and give the exit code: 0 if all is good, else 1."""
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{'ok ' if finding.good else 'BAD'}  {finding.name:<{width}}  {finding.text}")
        if not finding.good and finding.do:
            print(f"     {'':<{width}}  {finding.do}")
    return 0 if all(finding.good for finding in findings) else 1
