"""lexigraft: graft new languages onto pretrained language models. One rules file a stage, in the order of the flow."""

from snakemake.utils import min_version

min_version("9.27")

# a configuration given with --configfile stands alone; Snakemake would merge it into the default
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/inputs.smk"
include: "rules/sharing.smk"


# what `snakemake --report` begins with
report: "docs/report/workflow.rst"


pathvars:
    results=f"results/{CONFIG.run}",


# first, and so what is made by default; as a module the target is what the other workflow says
rule all:
    input:
        lambda wildcards: list(dict.fromkeys(ARTIFACTS)),


include: "rules/corpora.smk"
include: "rules/sources.smk"
include: "rules/tokenizers.smk"
include: "rules/word_vectors.smk"
include: "rules/matches.smk"
include: "rules/factors.smk"
include: "rules/hypernetworks.smk"
include: "rules/evidence.smk"
include: "rules/token_maps.smk"
include: "rules/initialized_models.smk"
include: "rules/pretraining.smk"
include: "rules/evaluation.smk"
include: "rules/report.smk"


share_marked_rules()


onstart:
    from lexigraft.workflow.preflight import check_before_start

    stop_on_error(check_before_start, *files_of_plan(workflow.dag))
