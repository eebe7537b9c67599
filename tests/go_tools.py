"""What every test on a program that Go builds asks for first."""

import os
import shutil
from pathlib import Path

import pytest

from worker.domain.errors import LocalStackError
from worker.local.go_tool import GoTool

HELM = GoTool("helm.sh/helm/v3/cmd/helm@v3.19.2", "helm", "Helm")
# Checks and runs alert rules. Its ways of finding targets would be most of what is built.
PROMTOOL = GoTool(
    "github.com/prometheus/prometheus/cmd/promtool@v0.316.0", "promtool", "Prometheus' promtool", tags="remove_all_sd"
)


def demand_go_tool(tool: GoTool) -> Path:
    """Return the program, built if it is missing; where there is no Go to build it, skip the test, or fail it in CI."""
    try:
        return tool.provide()
    except LocalStackError as error:
        if shutil.which("go") is not None or os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
