"""Settings shared by every test: how many examples Hypothesis draws."""

import os

from hypothesis import Phase, settings

settings.register_profile("dev", max_examples=50, deadline=None)
# what decides about a commit depends on the commit alone; who works on it draws new examples
settings.register_profile("ci", max_examples=150, deadline=None, derandomize=True)
# which lines run at all takes few examples, and coverage makes each several times as slow
settings.register_profile("coverage", max_examples=8, deadline=None)
settings.register_profile("deep", max_examples=5000, deadline=None)
# tests/mutants/run.py only asks whether a test fails, not for the smallest example
settings.register_profile(
    "mutants",
    max_examples=100,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
