def test_good(good, check):
    found = check(good.model)
    for t in found.tests: print(t.passed, t.sentence())
    print(found.loaders)
    assert found.state == "passed"
