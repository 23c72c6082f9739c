"""Submits a job file such as `ray-job.yaml` to a Ray cluster and follows it: exit code 0 if it succeeded.

    python export/submit_ray_job.py export/ray-job.yaml --address http://HEAD:8265
    python export/submit_ray_job.py export/ray-job.yaml --append "--set train.steps=100" --env GANZOO_RUNS=/shared/runs

Needs `pip install 'ray[default]'`; no ganzoo.
"""

import argparse
import sys
import time
from pathlib import Path

import yaml


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("job", type=Path, help="the YAML file: entrypoint, metadata, runtime_env")
    parser.add_argument("--address", default="http://127.0.0.1:8265", help="of the cluster's dashboard")
    parser.add_argument("--append", default="", metavar="WORDS", help="more options of the job's command")
    parser.add_argument("--env", action="append", default=[], metavar="KEY=VALUE", help="a variable of the job")
    options = parser.parse_args()
    if not all("=" in pair for pair in options.env):
        parser.error("--env takes KEY=VALUE")
    from ray.job_submission import JobStatus, JobSubmissionClient

    job = yaml.safe_load(options.job.read_text("utf-8"))
    job["entrypoint"] = f"{job['entrypoint']} {options.append}".strip()
    environment = job.setdefault("runtime_env", {}).setdefault("env_vars", {})
    environment.update(pair.split("=", 1) for pair in options.env)
    client = JobSubmissionClient(options.address)
    name = client.submit_job(**job)
    print(f"submitted {name}", flush=True)
    while not (status := client.get_job_status(name)).is_terminal():
        time.sleep(1)
    print(client.get_job_logs(name))
    print(f"{name}: {status}")
    return 0 if status == JobStatus.SUCCEEDED else 1


if __name__ == "__main__":
    sys.exit(main())
