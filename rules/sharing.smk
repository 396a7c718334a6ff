"""Sharing artifacts between checkouts and users: the storage behind Snakemake's between-workflow cache (docs/cache.md).

Snakemake decides which jobs use the cache; `lexigraft.shared_cache` names and stores the entries.
"""

from snakemake.caching.rule import RuleCache
from snakemake.exceptions import CacheMissException
from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod

from lexigraft.shared_cache import cache_location


def software_of(job):
    """The environment that Snakemake provides for a job: content of a conda environment, address of an image, or ''."""
    methods = job.dag.workflow.deployment_settings.deployment_method
    found = ""
    if DeploymentMethod.CONDA in methods and job.conda_env:
        found += job.conda_env.content.decode()
    if DeploymentMethod.APPTAINER in methods and job.container_img_url:
        found += job.container_img_url
    return found


def shared_cache():
    """The shared cache of this run, or None."""
    location = cache_location()
    if not (workflow.enable_cache and location):
        return None
    # imported here because its imports are heavy, and a plan without a cache does not need them
    from lexigraft.shared_cache.jobs import SharedCache

    return stop_on_error(SharedCache, location, ROOT, software_of)


class SharedRule(RuleCache):
    """The cache of a rule, for rules that are marked."""

    def check(self):
        # without a cache Snakemake would print a line per rule
        if workflow.enable_cache:
            super().check()

    async def exists(self, job):
        return SHARED is not None and SHARED.has(job)

    async def fetch(self, job):
        if SHARED is None or not stop_on_error(SHARED.fetch, job):
            raise CacheMissException(f"{job} is not in the shared cache")
        logger.info(f"lexigraft: {job} taken from the shared cache")

    async def store(self, job):
        reason = SHARED.store(job) if SHARED is not None else None
        if reason:
            logger.warning(f"lexigraft: {job} was not stored in the cache: {reason}")


def share_marked_rules():
    """Use this storage for all rules of this project that are marked `cache: True`."""
    for found in workflow.rules:
        if found.cache and Path(found.snakefile).is_relative_to(ROOT):
            found.cache = SharedRule(found, found.cache.flag)


SHARED = shared_cache()
