"""`epistem analyze` on the nodes of a SLURM cluster.

Copy it, and start it on the login node, in an environment in which epistem[cluster] is installed and that the nodes
see under the same path, as they must see the images and the results:

    python analyze_on_slurm.py IMAGES --out RESULTS --jobs 10 --cores 16 --memory 48GB --walltime 04:00:00

Whatever else `epistem analyze` takes may follow. Started again, it goes on with what is not done yet.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from dask_jobqueue import SLURMCluster


def main() -> int:
    """Ask SLURM for workers, analyse, let go of them; the exit code of `epistem analyze`."""
    asked, rest = _options().parse_known_args()
    with SLURMCluster(
        job_name="epistem", queue=asked.partition, account=asked.account, walltime=asked.walltime,
        cores=asked.cores, memory=asked.memory, interface=asked.interface,
        # One process a core, each with one thread.
        processes=asked.cores,
        scheduler_options={"dashboard_address": None}, worker_extra_args=["--no-dashboard"],
    ) as cluster:  # fmt: skip
        # A job that ends, by its walltime or with its node, is asked for again.
        cluster.adapt(minimum_jobs=asked.jobs, maximum_jobs=asked.jobs)
        words = [asked.images, "--out", asked.out, "--cluster", cluster.scheduler_address, *rest]
        return subprocess.run([sys.executable, "-m", "epistem", "analyze", *words]).returncode


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("images", help="folder of micrographs")
    options.add_argument("--out", required=True, help="folder of results")
    options.add_argument("--jobs", type=int, default=1, help="of SLURM, side by side")
    options.add_argument("--cores", type=int, default=8, help="of a job: as many images at once")
    options.add_argument("--memory", default="24GB", help="of a job")
    options.add_argument("--walltime", default="02:00:00", help="of a job")
    options.add_argument("--partition", help="of the cluster")
    options.add_argument("--account", help="that pays")
    options.add_argument("--interface", help="network between the nodes, such as ib0")
    return options


if __name__ == "__main__":
    sys.exit(main())
