"""The serving benchmark: what wrk prints is read, what breaks a limit is said, and a run of a second works."""

import shutil

import pytest
from tiny import TINY

pytest.importorskip("starlette", reason="pip install 'ganzoo[serve]'")
from benchmarks import serving
from ganzoo import exporting, zoo

PRINTED = """Running 20s test @ http://127.0.0.1:8501/v1/models/dcgan:predict
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    79.40ms   58.98ms 581.77ms   94.03%
    Req/Sec   438.36    101.53   610.00     75.25%
  Latency Distribution
     50%   73.90ms
     75%   84.12ms
     90%  101.38ms
     99%    1.41s
  8065 requests in 20.04s, 63.97MB read
  Socket errors: connect 0, read 1, write 0, timeout 2
  Non-2xx or 3xx responses: 4
Requests/sec:    402.45
"""
ROW = {"throughput": 0.95, "cpu_beyond": 0.001, "errors": 0, "growth": 0.01, "tail": 2.9}


def test_what_wrk_prints():
    assert serving.report(PRINTED) == {"requests": 8065, "seconds": 20.04, "p50": 0.0739, "p99": 1.41, "errors": 7}
    fine = PRINTED.replace("  Socket errors: connect 0, read 1, write 0, timeout 2\n", "")
    assert serving.report(fine.replace("  Non-2xx or 3xx responses: 4\n", ""))["errors"] == 0


def test_the_limits():
    assert serving.problems("pix2pix", ROW) == serving.problems("dcgan", ROW) == []
    assert "throughput" in serving.problems("pix2pix", ROW | {"throughput": 0.89})[0]
    assert "CPU" in serving.problems("dcgan", ROW | {"cpu_beyond": 0.0031})[0]
    assert "memory" in serving.problems("dcgan", ROW | {"growth": 0.06})[0]
    assert "p99 is 3.1 times p50" in serving.problems("dcgan", ROW | {"tail": 3.1})[0]
    assert "2 errors" in serving.problems("dcgan", ROW | {"errors": 2})[0]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("wrk"), reason="needs the load generator: apt-get install wrk")
def test_a_short_run(tmp_path):
    for name in ("dcgan", "pix2pix"):
        formats = ["savedmodel", "onnx"] if name == "dcgan" else ["savedmodel"]
        exporting.export(
            zoo.load(name, weights=None, **TINY[name]), tmp_path / name, formats=formats, allow_random=True
        )
        for row in serving.compare(tmp_path / name, name, 1, 2, 1, serving.RUNTIMES[name]):
            assert row["errors"] == 0
            assert row["served"][0]["requests"] > 0
            assert row["bare"][0]["per_second"] > 0
            assert f"{row['model']:<20} {row['runtime']}" in serving.line(row | {"problems": []})
