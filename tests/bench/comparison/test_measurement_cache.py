import json
import math

import pytest

from latentwave.bench.comparison.clock import Clock
from latentwave.bench.comparison.measurement_cache import read_measured, write_measured

SETTING = {"budget": "seconds", "windows": (1, 2)}
CLOCK = {"step_seconds": {"none": [0.1, 0.2]}, "busy_cores": 0.0, "environment": {"cpu": "x"}}
VALUES = {
    "clock": (Clock, CLOCK),
    "context": (list[float], [1.0, math.nan]),
}


@pytest.mark.parametrize("name", VALUES)
def test_what_was_measured_is_read_for_its_setting_alone(tmp_path, name):
    schema, values = VALUES[name]
    path = tmp_path / "made" / "clock.json"
    write_measured(path, SETTING, values)
    found = read_measured(path, SETTING, schema)
    assert str(found) == str(Clock(**CLOCK) if schema is Clock else values)
    assert read_measured(path, SETTING | {"budget": "flops"}, schema) is None


OTHER_FORMS = [None, 7, "x", [], {}, ["x"], {"none": "many"}, {"none": -1}, {"none": [[]]}]
CLOCKS = [
    CLOCK | {"step_seconds": value}
    for value in (None, [], {"none": []}, {"none": [0.0]}, {"none": ["x"]}, {"none": [-1.0]})
]


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("values", [*OTHER_FORMS, *CLOCKS])
def test_values_of_another_form_are_measured_again(tmp_path, name, values):
    schema, _ = VALUES[name]
    write_measured(tmp_path / "x.json", SETTING, values)
    if name != "context" or values != []:
        assert read_measured(tmp_path / "x.json", SETTING, schema) is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"\xff", b"[" * 10**5, b"null", b'{"setting": 7}']
)
def test_damaged_files_count_as_none(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    assert read_measured(path, SETTING, list[float]) is None
    path.write_text(json.dumps({"setting": {"budget": "seconds"}}))
    assert read_measured(path, {"budget": "seconds"}, list[float]) is None
