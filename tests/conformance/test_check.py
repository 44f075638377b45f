import pytest
from conformance import check

NAMES = ["tms", "own", "native", "degrees", "nested", "packed"]


@pytest.mark.parametrize("name", NAMES)
def test_good(stores, name):
    r = check(stores[name].edited())
    assert not r.findings, r.to_text()
    assert r.exit_status == 0
