import gzip
import json
from pathlib import Path

import linear
import pytest
from recorded import digest

from bigmodel.experiment import InputError
from bigmodel.runtime.settings import Run


def test_the_steps_of_a_profile_are_in_a_trace_of_both_formats(tmp_path: Path) -> None:
    assert linear.run(tmp_path, steps=8, eval_every=8, profile="3:5") == 0
    (xplane,) = (tmp_path / "profile").glob("plugins/profile/*/*.xplane.pb")
    assert xplane.stat().st_size > 0
    (perfetto,) = (tmp_path / "profile").glob("plugins/profile/*/perfetto_trace.json.gz")
    events = json.loads(gzip.decompress(perfetto.read_bytes()))["traceEvents"]
    steps = [event["args"]["step_num"] for event in events if event.get("name") == "step"]
    assert steps == ["3", "4"]


def test_a_profile_changes_no_bit_and_goes_on_in_the_same_directory(tmp_path: Path) -> None:
    for name, profile in (("with", "1:3"), ("without", "")):
        assert linear.run(tmp_path / name, steps=4, eval_every=4, profile=profile) == 0
    assert not (tmp_path / "without" / "profile").exists()
    assert digest(tmp_path / "with") == digest(tmp_path / "without")
    assert linear.run(tmp_path / "without", steps=4, eval_every=4, profile="1:3") == 0


@pytest.mark.parametrize("profile", ["3", "5:3", "a:b", "3:3", ":", "40:50"])
def test_what_is_no_range_of_steps_is_refused(profile: str) -> None:
    with pytest.raises(InputError, match=f"profile is {profile}"):
        Run(steps=40, profile=profile)
